"""Reads where the stores are, and with which password: `REDIS_URL`, `CACHE_REDIS_URL` and `DATABASE_URL`.

Rule: each is a variable, or a file with the whole address (`REDIS_URL_FILE`), or a variable without a password and a
file with nothing else (`REDIS_PASSWORD_FILE`). While running only user and password may become others: what names
another server is refused. A wrong address is a `SettingsError` that does not repeat it, because it may hold a password.
An `@`, `/`, `?` or `#` of a password that is not escaped would make its rest a host, a path or a parameter, which
messages name. So such an address is refused before any of its parts is looked at.
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
    """Makes addresses of texts: the first may be any that `parse` takes, others name the same place."""

    def __init__(self, parse: Callable[[str], str]) -> None:
        self._make = parse
        self._place: object = None

    def __call__(self, text: str) -> str:
        """The address. Raises `SettingsError`."""
        made = self._make(single_line(text))
        place = _server_identity(made)
        if self._place not in {None, place}:
            raise SettingsError("names another place; while running only user and password may change")
        self._place = place
        return made


def read_redis_url(environment: Mapping[str, str], variable: str) -> Secret[str] | None:
    """Where a server of Redis's protocol is."""
    return _read_url(environment, variable, _parse_redis_url)


def read_database_url(environment: Mapping[str, str], variable: str = "DATABASE_URL") -> Secret[str] | None:
    """Where the ledger of record is."""
    return _read_url(environment, variable, _parse_database_url)


def _read_url(environment: Mapping[str, str], variable: str, parse: Callable[[str], str]) -> Secret[str] | None:
    """An address, with the password out of a file if there is one."""
    secret = read_secret(environment, variable, UrlParser(parse))
    name = f"{variable.removesuffix('URL')}PASSWORD{FILE_SUFFIX}"
    file = environment.get(name)
    if not file:
        return secret
    if secret is None:
        raise SettingsError(f"{name}: stands without {variable}, which says where and for whom the password is")
    url = secret()
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
    if hosts.count("@") > 1:  # the driver takes the first for the end of the password
        raise SettingsError(UNREADABLE)
    for host in hosts.rpartition("@")[2].split(","):
        _check_port(host)
    return driver_url(text)


def _check_port(host: str) -> None:
    port = host.rpartition("]")[2].partition(":")[2]
    if port and not (port.isascii() and port.isdigit() and 0 < int(port) <= MAX_PORT):
        raise SettingsError(UNREADABLE)


def _check_password_characters(text: str) -> None:
    """Refuse an address of which nobody can say where its password ends."""
    try:
        parts = urlsplit(text)
    except ValueError:
        raise SettingsError(UNREADABLE) from None
    after_at = (parts.path, parts.query, parts.fragment)
    if parts.fragment or (parts.netloc and any("@" in part for part in after_at)):
        raise SettingsError(UNREADABLE)


def _server_identity(url: str) -> object:
    """What of an address has to stay: all but user and password. Whether there is a password is how it is reached."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]), _has_password(url)


def _has_password(url: str) -> bool:
    parts = urlsplit(url)
    return bool(parts.password) or "password" in parse_qs(parts.query)


def with_password(url: str, password: str) -> str:
    """An address that had no password, with one, whatever signs that has."""
    scheme, _, rest = url.partition("://")
    authority = urlsplit(url).netloc
    user, _, hosts = authority.rpartition("@")
    return f"{scheme}://{user.rstrip(':')}:{quote(password, safe='')}@{hosts}{rest.removeprefix(authority)}"
