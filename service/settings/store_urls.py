"""Addresses of the stores, with their passwords: `REDIS_URL`, `CACHE_REDIS_URL` and `DATABASE_URL`.

Rule: an address is a variable, or the content of a file (`REDIS_URL_FILE`). A password may have a file of its own
(`REDIS_PASSWORD_FILE`) beside a variable without it. While the gateway runs, only user and password may change. After
an unescaped `@`, `/`, `?` or `#`, the rest of a password would be a host, a path or a parameter. Messages name those,
so such an address is refused before its parts are read.

Fails with: `SettingsError`, which does not repeat the address, because it may hold a password.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

from service.settings.secret_sources import FILE_SUFFIX, Secret, read_secret, single_line
from service.settings.store_url_parameters import check_redis_parameters, driver_url
from service.settings.yaml_file import SettingsError

REDIS_SCHEMES = ("redis", "rediss", "unix", "redis+cluster", "rediss+cluster")
UNREADABLE = "cannot be read; signs such as / and @ in a password have to be written as %2F and %40"
MAX_PORT = 65_535
NO_DATABASE = "has to begin with sqlite:/// or postgresql://"
NO_STORE = f"not an address such as redis://host:6379/0; it begins with one of {', '.join(REDIS_SCHEMES)}"


class UrlParser:
    """Parser of one store's address, which accepts no other server after the first address."""

    def __init__(self, parse: Callable[[str], str]) -> None:
        self._parse = parse
        self._server: object = None

    def parse(self, text: str) -> str:
        """Return the address. Raises `SettingsError`, also for another server than before."""
        url = self._parse(single_line(text))
        server = _server_identity(url)
        if self._server not in {None, server}:
            raise SettingsError("names another place; while running only user and password may change")
        self._server = server
        return url


def read_redis_url(environment: Mapping[str, str], variable: str) -> Secret[str] | None:
    """Read the address of a Redis or Valkey server."""
    return _read_url(environment, variable, _parse_redis_url)


def read_database_url(environment: Mapping[str, str], variable: str = "DATABASE_URL") -> Secret[str] | None:
    """Read the address of the ledger's database."""
    return _read_url(environment, variable, _parse_database_url)


def _read_url(environment: Mapping[str, str], variable: str, parse: Callable[[str], str]) -> Secret[str] | None:
    secret = read_secret(environment, variable, UrlParser(parse).parse)
    name = f"{variable.removesuffix('URL')}PASSWORD{FILE_SUFFIX}"
    file = environment.get(name)
    if not file:
        return secret
    if secret is None:
        raise SettingsError(f"{name}: stands without {variable}, which has the server and the user of the password")
    url = secret.current()
    if secret.file or _has_password(url):
        raise SettingsError(f"{name}: stands beside {secret.name}, which holds a password; give one of them")
    if not urlsplit(url).scheme or url.startswith("sqlite"):
        raise SettingsError(f"{name}: stands beside {variable}, which names no server")
    return Secret(name, Path(file), lambda password: with_password(url, single_line(password)))


def _parse_redis_url(text: str) -> str:
    scheme, separator, _ = text.partition("://")
    if scheme not in REDIS_SCHEMES or not separator:
        raise SettingsError(NO_STORE)
    _check_password_characters(text)
    address = urlsplit(text)
    if not (address.hostname or address.path):
        raise SettingsError(NO_STORE)
    _check_port(address.netloc.rpartition("@")[2])
    check_redis_parameters(text)
    return text


def _parse_database_url(text: str) -> str:
    kind = text.partition(":")[0].partition("+")[0]
    if kind == "sqlite":
        return text
    _check_password_characters(text)
    if kind not in {"postgres", "postgresql"} or "://" not in text:
        raise SettingsError(NO_DATABASE)
    hosts = urlsplit(text).netloc
    if hosts.count("@") > 1:  # the driver ends the password at the first
        raise SettingsError(UNREADABLE)
    for host in hosts.rpartition("@")[2].split(","):
        _check_port(host)
    return driver_url(text)


def _check_port(host: str) -> None:
    port = host.rpartition("]")[2].partition(":")[2]
    if port and not (port.isascii() and port.isdigit() and 0 < int(port) <= MAX_PORT):
        raise SettingsError(UNREADABLE)


def _check_password_characters(text: str) -> None:
    # An address whose password has no certain end is refused.
    try:
        parts = urlsplit(text)
    except ValueError:
        raise SettingsError(UNREADABLE) from None
    after_at = (parts.path, parts.query, parts.fragment)
    if parts.fragment or (parts.netloc and any("@" in part for part in after_at)):
        raise SettingsError(UNREADABLE)


def _server_identity(url: str) -> object:
    """Return the fixed part of an address: all but user and password, and whether it has a password."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]), _has_password(url)


def _has_password(url: str) -> bool:
    parts = urlsplit(url)
    return bool(parts.password) or "password" in parse_qs(parts.query)


def with_password(url: str, password: str) -> str:
    """Return an address with an escaped password added."""
    scheme, _, rest = url.partition("://")
    authority = urlsplit(url).netloc
    user, _, hosts = authority.rpartition("@")
    return f"{scheme}://{user.rstrip(':')}:{quote(password, safe='')}@{hosts}{rest.removeprefix(authority)}"
