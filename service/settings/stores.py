"""Reads where the stores are, and with which password: `REDIS_URL`, `CACHE_REDIS_URL` and `DATABASE_URL`.

Rule: each is a variable, or a file with the whole address (`REDIS_URL_FILE`), or a variable without a password and a
file with nothing else (`REDIS_PASSWORD_FILE`). While running only user and password may become others: what names
another server is refused. A wrong address is a `SettingsError` that does not repeat it, because it may hold a password.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

from service.settings.files import SettingsError
from service.settings.given import FILE, Secret, one_line, read_secret

KINDS = ("redis", "rediss", "unix", "redis+cluster", "rediss+cluster")
UNREADABLE = "cannot be read; signs such as / and @ in a password have to be written as %2F and %40"
NO_STORE = f"not an address such as redis://host:6379/0; it begins with one of {', '.join(KINDS)}"


class Address:
    """Makes addresses of texts: the first may be any that `check` lets pass, others name the same place."""

    def __init__(self, check: Callable[[str], None]) -> None:
        self._check = check
        self._place: object = None

    def __call__(self, text: str) -> str:
        """The address. Raises `SettingsError`."""
        self._check(one_line(text))
        try:
            place = _place_of(text)
        except ValueError:
            raise SettingsError(UNREADABLE) from None
        if self._place not in {None, place}:
            raise SettingsError("names another place; while running only user and password may change")
        self._place = place
        return text


def read_store(environment: Mapping[str, str], variable: str) -> Secret[str] | None:
    """Where a server of Redis's protocol is."""
    return _read(environment, variable, _check_store)


def read_database(environment: Mapping[str, str], variable: str = "DATABASE_URL") -> Secret[str] | None:
    """Where the ledger of record is. What is wrong with it otherwise is found out by who connects to it."""
    return _read(environment, variable, lambda _: None)


def _read(environment: Mapping[str, str], variable: str, check: Callable[[str], None]) -> Secret[str] | None:
    """An address, with the password out of a file if there is one."""
    found = read_secret(environment, variable, Address(check))
    name = f"{variable.removesuffix('URL')}PASSWORD{FILE}"
    file = environment.get(name)
    if not file:
        return found
    if found is None:
        raise SettingsError(f"{name}: stands without {variable}, which says where and for whom the password is")
    url = found()
    if found.file or _has_password(url):
        raise SettingsError(f"{name}: stands beside {found.name}, which holds a password; give one of them")
    if not urlsplit(url).scheme or url.startswith("sqlite"):
        raise SettingsError(f"{name}: stands beside {variable}, which names no server")
    return Secret(name, Path(file), lambda password: with_password(url, one_line(password)))


def _check_store(text: str) -> None:
    try:
        address = urlsplit(text)
        usable = address.scheme in KINDS and bool(address.hostname or address.path) and address.port != 0
    except ValueError:  # a port that is no number
        usable = False
    if not usable:
        raise SettingsError(NO_STORE)


def _place_of(url: str) -> object:
    """What of an address has to stay: all but user and password. Whether there is a password is how it is reached."""
    found = urlsplit(url)
    return found._replace(netloc=found.netloc.rpartition("@")[2]), _has_password(url)


def _has_password(url: str) -> bool:
    found = urlsplit(url)
    return bool(found.password) or "password" in parse_qs(found.query)


def with_password(url: str, password: str) -> str:
    """An address that had no password, with one, whatever signs that has."""
    scheme, _, rest = url.partition("://")
    authority = urlsplit(url).netloc
    user, _, hosts = authority.rpartition("@")
    return f"{scheme}://{user.rstrip(':')}:{quote(password, safe='')}@{hosts}{rest.removeprefix(authority)}"
