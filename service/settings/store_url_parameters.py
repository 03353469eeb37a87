"""Parameters of store addresses, behind the `?`.

Rule: a parameter is honoured, ignored on purpose, or refused by its name.

Fails with: `SettingsError`, which names a parameter or a file, never another part of the address.
"""

import os
import ssl
from collections.abc import Collection, Mapping
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from service.settings.yaml_file import SettingsError

TLS_FILES = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"})
TLS = TLS_FILES | {
    "ssl_ca_path",
    "ssl_cert_reqs",
    "ssl_check_hostname",
    "ssl_ciphers",
    "ssl_exclude_verify_flags",
    "ssl_include_verify_flags",
    "ssl_min_version",
    "ssl_password",
}
"""Additional parameters of `rediss://`."""

REDIS = frozenset(
    {
        "client_name",
        "db",
        "health_check_interval",
        "max_connections",
        "password",
        "protocol",
        "retry_on_timeout",
        "socket_connect_timeout",
        "socket_keepalive",
        "socket_read_size",
        "socket_timeout",
        "timeout",
        "username",
    }
)

HONOURED = frozenset(
    {
        "application_name",
        "database",
        "dbname",
        "gsslib",
        "host",
        "krbsrvname",
        "options",
        "passfile",
        "password",
        "port",
        "service",
        "ssl_max_protocol_version",
        "ssl_min_protocol_version",
        "sslcert",
        "sslcrl",
        "sslkey",
        "sslmode",
        "sslnegotiation",
        "sslpassword",
        "sslrootcert",
        "target_session_attrs",
        "user",
    }
)
"""Parameters of libpq and of the driver, with their usual effect."""

SESSION = frozenset(
    {"datestyle", "default_transaction_isolation", "lock_timeout", "role", "search_path", "timezone", "work_mem"}
)
"""Settings of a PostgreSQL session. libpq takes them in `options`, the driver also as parameters."""

IGNORED = frozenset(
    {
        "channel_binding",
        "client_encoding",
        "connect_timeout",
        "fallback_application_name",
        "gssdelegation",
        "gssencmode",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "load_balance_hosts",
        "replication",
        "require_auth",
        "scram_client_key",
        "scram_server_key",
        "sslcertmode",
        "sslcompression",
        "sslsni",
        "tcp_user_timeout",
    }
)
"""Parameters of libpq without a counterpart in the driver; the gateway has timeouts of its own."""

MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
VERIFIES = frozenset({"verify-ca", "verify-full"})
SYSTEM = "system"
BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
"""Usual files of the system's authorities, if OpenSSL knows none."""


def check_redis_parameters(url: str) -> None:
    """Raise `SettingsError` for a parameter or a database that the client does not know."""
    parts = urlsplit(url)
    encrypted = parts.scheme.startswith("rediss")
    parameters = _parameters(parts.query)
    if tls := sorted(TLS & parameters.keys()):
        if not encrypted:
            raise SettingsError(f"the parameter {tls[0]} needs an address that begins with rediss")
        for name in sorted(TLS_FILES & parameters.keys()):
            _check_file(name, parameters[name])
    _check_names(parameters, REDIS | TLS)
    database = parts.path.strip("/")
    if parts.scheme != "unix" and database and not (database.isascii() and database.isdigit()):
        raise SettingsError("what follows the / is not the number of a database")


def driver_url(url: str) -> str:
    """Return the address without ignored parameters. Raises `SettingsError` for one that cannot be honoured."""
    parts = urlsplit(url)
    parameters = _parameters(parts.query)
    _check_names(
        parameters, HONOURED | IGNORED | SESSION, hint="; a setting of the session goes into options=-c name=value"
    )
    _check_mode(parameters)
    if parameters.get("sslrootcert") == SYSTEM:
        parameters["sslmode"] = _system_trust_mode(parameters)
        parameters["sslrootcert"] = _system_bundle()
    for name in ("sslrootcert", "sslcert", "sslkey", "sslcrl"):
        if parameters.get(name):
            _check_file(name, parameters[name])
    _check_authority(parameters)
    honoured = {name: value for name, value in parameters.items() if name not in IGNORED}
    if honoured == _parameters(parts.query):
        return url
    before, _, _ = url.partition("?")
    return f"{before}?{urlencode(honoured, quote_via=quote)}" if honoured else before


def _parameters(query: str) -> dict[str, str]:
    try:
        return dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
    except ValueError:
        raise SettingsError("what follows the ? is not name=value&name=value") from None


def _check_names(parameters: Mapping[str, str], known: Collection[str], hint: str = "") -> None:
    unknown = sorted(name for name in parameters if name not in known and name.lower() not in SESSION & set(known))
    if unknown:
        raise SettingsError(f"the parameter {unknown[0]!r} is not known{hint}")


def _check_file(name: str, file: str) -> None:
    try:
        with Path(file).open("rb"):
            pass
    except OSError as unreadable:
        raise SettingsError(f"{name}: the file {file} cannot be read: {unreadable.strerror}") from None
    except ValueError as unnamed:
        raise SettingsError(f"{name}: the file cannot be read: {unnamed}") from None


def _check_mode(parameters: Mapping[str, str]) -> None:
    if parameters.get("sslmode", MODES[0]) not in MODES:
        raise SettingsError(f"sslmode has to be one of {', '.join(MODES)}")


def _system_trust_mode(parameters: Mapping[str, str]) -> str:
    """Return the mode for the system's authorities. They sign for all names, so libpq also checks the name."""
    mode = parameters.get("sslmode", "verify-full")
    if mode != "verify-full":
        raise SettingsError("sslrootcert=system goes with sslmode=verify-full alone")
    return mode


def _system_bundle() -> str:
    for file in (ssl.get_default_verify_paths().cafile, *BUNDLES):
        if file and Path(file).is_file():
            return file
    raise SettingsError("sslrootcert=system: this system has no file of authorities")


def _check_authority(parameters: Mapping[str, str]) -> None:
    mode = parameters.get("sslmode") or os.environ.get("PGSSLMODE", "")
    named = parameters.get("sslrootcert") or os.environ.get("PGSSLROOTCERT")
    if mode in VERIFIES and not named and not Path("~/.postgresql/root.crt").expanduser().is_file():
        raise SettingsError(
            f"sslmode={mode} needs an authority to check against: add sslrootcert=/file.pem, or sslrootcert=system"
        )
