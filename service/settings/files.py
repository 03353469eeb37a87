"""Reads one YAML file strictly: YAML 1.2, no duplicate keys, no unknown keys, no numbers that are not.

Fails with `SettingsError`, whose text is `file: place: reason`, whatever a file holds. Every number has a least and a
greatest value.
"""

import re
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta
from ruamel.yaml import YAML
from ruamel.yaml.constructor import ConstructorError, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from service.domain.allowances import MOST_COUNT, MOST_DOLLARS, parse_dollars
from service.domain.errors import InvalidValue
from service.settings.fast_yaml import DOUBT, read_plainly

T = TypeVar("T")
CacheSeconds = Annotated[int, Meta(ge=0, le=31_536_000)] | None
"""How long results are kept; 0 is not at all, None leaves it to who is asked next."""

Stamp = tuple[int, int, int]
UNUSABLE = re.compile(r"[\x00\ud800-\udfff]")
"""In no name of a file, address or header; YAML can spell both."""

Count = Annotated[int, Meta(ge=1, le=MOST_COUNT)]
Seconds = Annotated[float, Meta(ge=0.001, le=86_400)]

Dollars = Annotated[Decimal, Meta(extra_json_schema={"minimum": 0, "maximum": int(MOST_DOLLARS)})]
"""An amount that `Place.dollars` checks."""

Tally = Annotated[int, Meta(extra_json_schema={"minimum": 1, "maximum": MOST_COUNT})]
"""A count in a table whose reader checks it, because only he knows the name of its place."""


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every part of a settings file shares: an unknown key is a mistake."""


class SettingsError(Exception):
    """A setting that cannot be used; the message names file, place and reason."""


class Place:
    """Where in which file something stands, for the message when it is wrong."""

    def __init__(self, file: Path, path: str = "$") -> None:
        self._file = file
        self._path = path

    def __str__(self) -> str:
        return f"{self._file}: {self._path}"

    def __truediv__(self, name: str | int) -> "Place":
        return Place(self._file, f"{self._path}[{name}]" if isinstance(name, int) else f"{self._path}.{name}")

    def error(self, reason: str) -> SettingsError:
        """What to raise."""
        return SettingsError(f"{self}: {reason}")

    def decode(self, value: object, kind: type[T]) -> T:
        """The value as a struct, or the reason why not."""
        if value is None and self._path == "$":
            raise self.error("is empty")
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as invalid:
            reason, _, inside = str(invalid).partition(" - at `$")
            raise Place(self._file, self._path + inside.rstrip("`")).error(reason) from None
        except RecursionError:  # an alias inside of what it names
            raise self.error("holds itself") from None

    def table(self, value: object, kind: type[T]) -> dict[str, T]:
        """A mapping of names to structs; each error names the entry it is in."""
        entries = self.decode({} if value is None else value, dict[str, object])
        return {name: (self / name).decode(entry, kind) for name, entry in entries.items()}

    def dollars(self, amount: Decimal, per: int = 1) -> int:
        """US dollars per `per` things as nano-USD for one of them; has to come out whole."""
        try:
            return parse_dollars(amount, per)
        except InvalidValue as wrong:
            raise self.error(wrong.message) from None

    def named(self, table: dict[str, T], name: str) -> T:
        """An entry of another table of this file."""
        if name not in table:
            raise self.error(f"'{name}' is not defined; defined are {', '.join(sorted(table)) or 'none'}")
        return table[name]


class Constructor(SafeConstructor):
    """Makes values of YAML's nodes. Whatever a value's own type raises is an error at the value's place."""

    def construct_object(self, node: Any, deep: bool = False) -> Any:  # noqa: ANN401, FBT001, FBT002 (ruamel.yaml's)
        """A value, or `ConstructorError` with its place."""
        try:
            found = super().construct_object(node, deep)
        except (YAMLError, RecursionError):
            raise
        except Exception as wrong:  # noqa: BLE001 (ValueError, KeyError, IndexError, AssertionError, … by type of value)
            problem = f"cannot be read as {node.tag.rpartition(':')[2]}: {first_line(wrong)}"
            raise ConstructorError(None, None, problem, node.start_mark) from None
        if isinstance(found, str) and UNUSABLE.search(found):
            raise ConstructorError(None, None, "holds a NUL or half a character", node.start_mark)
        return found


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    reason, *_ = str(error).splitlines() or [type(error).__name__]
    return reason or type(error).__name__


def stamp_of(file: Path) -> Stamp | None:
    """Something that changes when the file does, also by way of a link to another one; None where there is none."""
    try:
        found = file.stat()
    except (OSError, ValueError):  # ValueError: a name that no file can have
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def read_yaml(file: Path) -> object:
    """The document in a file. Raises `SettingsError`, whatever the file holds."""
    try:
        text = file.read_text("utf-8")
    except (OSError, ValueError) as unreadable:
        raise SettingsError(f"{file}: cannot be read: {unreadable}") from None
    found = read_plainly(text)
    return read_strictly(file, text) if found is DOUBT else found


def read_strictly(file: Path, text: str) -> object:
    """Slow, because it is written in Python; it knows the place of whatever is wrong."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = Constructor
    try:
        return yaml.load(text)
    except MarkedYAMLError as broken:
        mark = broken.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "somewhere"
        raise SettingsError(f"{file}: {place}: {first_line(ValueError(broken.problem))}") from None
    except Exception as wrong:  # noqa: BLE001 (a control character, YAML 1.3, what nobody has met yet: the file is wrong)
        raise SettingsError(f"{file}: somewhere: {first_line(wrong)}") from None
