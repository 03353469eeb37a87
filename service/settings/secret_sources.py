"""Secrets from environment variables, or from files that are read again when they change.

Rule: `NAME` or `NAME_FILE`, never both. The gateway calls `Secret.current` at each use, so a rotated file takes effect
at the next use.

Fails with: `SettingsError`, which names the setting, the file and the reason, never the secret. While the gateway runs,
the secret before stays.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from stat import S_ISREG
from typing import Any, Generic, TypeAlias, TypeVar
from unicodedata import category

from service.domain.team_access import KEY_PREFIX, key_digest
from service.settings.yaml_file import FilePlace, SettingsError, file_stamp

FILE_SUFFIX = "_FILE"
MAX_BYTES = 65_536
MIN_SIGNING_KEY_LENGTH = 32  # characters; half of a hex key of this length has 64 bits
HEADER_SAFE = re.compile(r"[!-~]+")  # characters that a header can carry after `Bearer `
NOT_HEADER_SAFE = "must be of letters, digits and signs of ASCII, without spaces"

T = TypeVar("T")


class Secret(Generic[T]):
    """One secret, whose value may change while the gateway runs.

    Attributes:
        name: Setting that the secret comes from.
        file: File with the secret; None if the variable itself has it.
    """

    def __init__(self, name: str, source: str | Path, parse: Callable[[str], T]) -> None:
        """Read the secret from its text or its file. `parse` raises `SettingsError` with the reason alone."""
        self.name = name
        self.file = source if isinstance(source, Path) else None
        self._parse = parse
        self._refusals: list[Callable[[frozenset[str]], str | None]] = []
        self._seen = file_stamp(self.file) if self.file else None
        self._refused = False
        self._load(source if isinstance(source, str) else None)

    def current(self) -> T:
        """Return the present value."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({self.name})"

    @property
    def digests(self) -> frozenset[str]:
        """Return the digest of each line, by which keys are compared."""
        return self._digests

    def reject_if(self, reason: Callable[[frozenset[str]], str | None]) -> None:
        """Refuse values with a `reason` for their digests. Raises `SettingsError` for the present value."""
        self._refusals.append(reason)
        self._check(self._digests)

    def reload(self) -> bool | str:
        """Read a changed file. Returns whether the secret changed, or the reason of a refusal."""
        stamp = file_stamp(self.file) if self.file else None
        if stamp == self._seen:
            return False
        self._seen = stamp
        before, was_refused = self._value, self._refused
        try:
            self._load(None)
        except SettingsError as wrong:
            self._refused = True
            return str(wrong)
        self._refused = False
        return was_refused or self._value != before

    def _load(self, text: str | None) -> None:
        # A failure leaves the value before in place.
        try:
            value_text = read_file(self.file) if self.file else text or ""
            value = self._parse(value_text)
        except SettingsError as wrong:
            raise self._error(str(wrong)) from None
        digests = frozenset(key_digest(line.strip()) for line in value_text.split("\n"))
        self._check(digests)
        self._value, self._digests = value, digests

    def _check(self, digests: frozenset[str]) -> None:
        for refusal in self._refusals:
            if reason := refusal(digests):
                raise self._error(reason)

    def _error(self, reason: str) -> SettingsError:
        return SettingsError(f"{self.name}: {self.file}: {reason}" if self.file else f"{self.name}: {reason}")


AnySecret: TypeAlias = Secret[Any]


def read_file(file: Path) -> str:
    """Return the text of a file without the spaces around it and around its lines. Raises `SettingsError`."""
    try:
        stat = file.stat()
        if not S_ISREG(stat.st_mode):
            raise SettingsError("cannot be read: not a file")
        if stat.st_size > MAX_BYTES:
            raise SettingsError(f"is longer than {MAX_BYTES} bytes")
        text = file.read_bytes().decode()
    except OSError as error:
        raise SettingsError(f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError("cannot be read: not a text") from None
    except ValueError as unnamed:  # a NUL in the name
        raise SettingsError(f"cannot be read: {unnamed}") from None
    lines = [line.strip() for line in text.strip().split("\n")]
    if lines == [""]:
        raise SettingsError("is empty")
    if any(category(sign) == "Cc" for line in lines for sign in line):
        raise SettingsError("has control characters in it")
    return "\n".join(lines)


def single_line(text: str) -> str:
    """Return a secret of one line. Raises `SettingsError`."""
    if "\n" in text:
        raise SettingsError("has more than one line")
    return text


def header_safe(text: str) -> str:
    """Return a key that a header can carry. Raises `SettingsError`."""
    key = single_line(text.strip())
    if not HEADER_SAFE.fullmatch(key):
        raise SettingsError(NOT_HEADER_SAFE)
    return key


def signing_keys(text: str) -> tuple[bytes, ...]:
    """Keys for links, one a line: the first signs. Raises `SettingsError`."""
    keys = [line for line in text.split("\n") if line] or [""]
    if any(len(key) < MIN_SIGNING_KEY_LENGTH for key in keys):
        raise SettingsError(f"must be at least {MIN_SIGNING_KEY_LENGTH} characters; `openssl rand -hex 32` makes one")
    return tuple(key.encode() for key in keys)


def read_secret(
    environment: Mapping[str, str], variable: str, parse: Callable[[str], T], *, blank_is_none: bool = True
) -> Secret[T] | None:
    """Read the secret of NAME, or of the file in NAME_FILE; None without either. Raises `SettingsError`."""
    value, file = environment.get(variable), environment.get(variable + FILE_SUFFIX)
    if blank_is_none:
        value = (value or "").strip() or None
    if file and value:
        raise SettingsError(f"{variable}{FILE_SUFFIX}: stands beside {variable}; give one of them")
    if file:
        return Secret(variable + FILE_SUFFIX, Path(file), parse)
    return None if value is None else Secret(variable, value, parse)


def header_safe_and_foreign(text: str) -> str:
    """Return a key that a header can carry and no gateway issued. Raises `SettingsError`."""
    key = header_safe(text)
    if key.startswith(KEY_PREFIX):
        raise SettingsError(
            f"is the key of a gateway ({KEY_PREFIX}…), not of a vendor; a backend that is another gateway has "
            "`gateway: true` in gateway.yaml"
        )
    return key


def read_api_key(
    place: FilePlace, variable: str | None, file: str | None, environment: Mapping[str, str], *, gateway: bool = False
) -> Secret[str] | None:
    """Read the key of a backend from the variable or the file of its entry. Raises `SettingsError`."""
    parse = header_safe if gateway else header_safe_and_foreign
    secret = read_secret(environment, variable, parse) if variable else None
    if not file:
        return secret
    if secret:
        raise (place / "api_key_file").error(f"stands beside {secret.name}; give one of them")
    return Secret(str(place / "api_key_file"), Path(file), parse)
