"""Reads one YAML file strictly: YAML 1.2, no duplicate keys, no unknown keys, no numbers that are not.

Fails with `SettingsError`, whose text is `file: place: reason`, whatever a file holds. Every number has a least and a
greatest value.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta
from ruamel.yaml import YAML
from ruamel.yaml.constructor import ConstructorError, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from service.domain.did_you_mean import did_you_mean
from service.domain.errors import InvalidValue
from service.domain.key_allowances import MAX_COUNT, MAX_DOLLARS, parse_dollars
from service.settings import validation
from service.settings.fast_yaml import NOT_PLAIN, read_plain
from service.settings.validation import Steps

T = TypeVar("T")
CacheSeconds = Annotated[int, Meta(ge=0, le=31_536_000)] | None
"""How long results are kept; 0 is not at all, None leaves it to who is asked next."""

FileStamp = tuple[int, int, int]
UNUSABLE_CHARACTERS = re.compile(r"[\x00\ud800-\udfff]")
"""In no name of a file, address or header; YAML can spell both."""

Count = Annotated[int, Meta(ge=1, le=MAX_COUNT)]
Seconds = Annotated[float, Meta(ge=0.001, le=86_400)]

Dollars = Annotated[Decimal, Meta(extra_json_schema={"minimum": 0, "maximum": int(MAX_DOLLARS)})]
"""An amount that `FilePlace.to_nano_usd` checks."""

TokenCount = Annotated[int, Meta(extra_json_schema={"minimum": 1, "maximum": MAX_COUNT})]
"""A count in a table whose reader checks it, because only he knows the name of its place."""


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every part of a settings file shares: an unknown key is a mistake."""


class SettingsError(Exception):
    """A setting that cannot be used; the message names file, place and reason.

    `file` and `steps` lead to the place, if it is one of a file.
    """

    def __init__(self, message: str, file: Path | None = None, steps: Steps = ()) -> None:
        super().__init__(message)
        self.file = file
        self.steps = steps


class SettingsErrors(SettingsError):
    """Everything that is wrong; the message is the first one's."""

    def __init__(self, problems: Sequence[Exception]) -> None:
        super().__init__(str(problems[0]))
        self.problems = tuple(problems)


class FollowOnError(SettingsError):
    """What is only wrong because something else is, which is told."""


def to_problems(error: Exception) -> tuple[Exception, ...]:
    """Each thing that is wrong, by itself."""
    if isinstance(error, SettingsErrors):
        return error.problems
    return () if isinstance(error, FollowOnError) else (error,)


ErrorTypes = tuple[type[Exception], ...]


class ErrorCollector:
    """Inside of it, what is wrong and of some kinds ends the block and is noted; without kinds nothing is."""

    __slots__ = ("_errors", "_types")

    def __init__(self, errors: list[Exception], types: ErrorTypes) -> None:
        self._errors = errors
        self._types = types

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        """Note an error of these kinds, and let every other one go on."""
        if not isinstance(error, self._types):
            return False
        self._errors += to_problems(error)
        return True


NO_COLLECTOR = ErrorCollector([], ())


class Problems:
    """Collects what is wrong, so that all of it is told at once."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self.collecting = ErrorCollector(self.errors, (SettingsError,))

    def attempt(self, build: Callable[[], T], kinds: ErrorTypes = (SettingsError,)) -> T | None:
        """What is made, or None if that went wrong."""
        value: list[T] = []
        with ErrorCollector(self.errors, kinds):
            value.append(build())
        return value[0] if value else None

    def error(self) -> Exception:
        """What was found: itself if it is alone, else all as `SettingsErrors`."""
        return self.errors[0] if len(self.errors) == 1 else SettingsErrors(self.errors)


@contextmanager
def open_place(file: Path) -> Iterator["FilePlace"]:
    """The top of a file, whose reader goes on behind what is wrong. At the end all of it is raised."""
    problems = Problems()
    try:
        yield FilePlace(file, problems=problems)
    except SettingsError as wrong:
        problems.errors += to_problems(wrong)
    if problems.errors:
        raise problems.error()


class FilePlace:
    """Where in which file something stands, for the message when it is wrong.

    With `problems` what can be gone on behind is collected there, and is raised without.
    """

    def __init__(self, file: Path, path: str = "$", steps: Steps = (), problems: Problems | None = None) -> None:
        self._file = file
        self._path = path
        self._steps = steps
        self._problems = problems

    def __str__(self) -> str:
        return f"{self._file}: {self._path}"

    def __truediv__(self, name: str | int) -> "FilePlace":
        path = f"{self._path}[{name}]" if isinstance(name, int) else f"{self._path}.{name}"
        return FilePlace(self._file, path, (*self._steps, name), self._problems)

    def error(self, reason: str) -> SettingsError:
        """What to raise."""
        return SettingsError(f"{self}: {reason}", self._file, self._steps)

    def collecting(self) -> ErrorCollector:
        """Go on behind what is wrong inside, where problems are collected."""
        return NO_COLLECTOR if self._problems is None else self._problems.collecting

    def attempt(self, build: Callable[[], T]) -> T | None:
        """What is made, or None if that went wrong and problems are collected."""
        return build() if self._problems is None else self._problems.attempt(build)

    def decode(self, value: object, kind: type[T]) -> T:
        """The value as a struct, or the reason why not."""
        if value is None and self._path == "$":
            raise self.error("is empty")
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError:
            decoded = validation.validate(value, kind, self._steps)
        except RecursionError:  # an alias inside of what it names
            raise self.error("holds itself") from None
        errors = SettingsErrors([self._error_at(mistake) for mistake in decoded.mistakes])
        if self._problems is None or decoded.value is None:
            raise errors
        self._problems.errors += errors.problems
        return decoded.value

    def _error_at(self, mistake: validation.Mistake) -> SettingsError:
        message = f"{self._file}: {self._path}{mistake.path}: {mistake.reason}"
        return SettingsError(message, self._file, (*self._steps, *mistake.steps))

    def table(self, value: object, kind: type[T]) -> dict[str, T]:
        """A mapping of names to structs; each error names the entry it is in."""
        entries = self.decode({} if value is None else value, dict[str, object])
        entries_by_name: dict[str, T] = {}
        for name, entry in entries.items():
            place = self / name
            with place.collecting():
                entries_by_name[name] = place.decode(entry, kind)
        return entries_by_name

    def to_nano_usd(self, amount: Decimal, per: int = 1) -> int:
        """US dollars per `per` things as nano-USD for one of them; has to come out whole."""
        try:
            return parse_dollars(amount, per)
        except InvalidValue as wrong:
            raise self.error(wrong.message) from None

    def lookup(self, table: Mapping[str, T], name: str, raw_table: Collection[str] = ()) -> T:
        """An entry of another table of this file. An entry that is only in `raw_table` is faulty and reported there."""
        if name in table:
            return table[name]
        if name in raw_table:
            raise FollowOnError(f"{self}: '{name}' is wrong itself")
        defined = ", ".join(sorted(table)) or "none"
        raise self.error(
            f"'{name}' is not defined; defined are {defined}.{did_you_mean(name, table)}".removesuffix(".")
        )


class SafeValueConstructor(SafeConstructor):
    """Makes values of YAML's nodes. Whatever a value's own type raises is an error at the value's place."""

    def construct_object(self, node: Any, deep: bool = False) -> Any:  # noqa: ANN401, FBT001, FBT002 (ruamel.yaml's)
        """A value, or `ConstructorError` with its place."""
        try:
            value = super().construct_object(node, deep)
        except (YAMLError, RecursionError):
            raise
        except Exception as error:  # noqa: BLE001 (ValueError, KeyError, IndexError, AssertionError, … by type of value)
            problem = f"cannot be read as {node.tag.rpartition(':')[2]}: {first_line(error)}"
            raise ConstructorError(None, None, problem, node.start_mark) from None
        if isinstance(value, str) and UNUSABLE_CHARACTERS.search(value):
            raise ConstructorError(None, None, "holds a NUL or half a character", node.start_mark)
        return value


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    reason, *_ = str(error).splitlines() or [type(error).__name__]
    return reason or type(error).__name__


def file_stamp(file: Path) -> FileStamp | None:
    """Something that changes when the file does, also by way of a link to another one; None where there is none."""
    try:
        stat = file.stat()
    except (OSError, ValueError):  # ValueError: a name that no file can have
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_size


def read_yaml(file: Path) -> object:
    """The document in a file. Raises `SettingsError`, whatever the file holds."""
    try:
        text = file.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise SettingsError(f"{file}: cannot be read: {error}") from None
    document = read_plain(text)
    return read_strict(file, text) if document is NOT_PLAIN else document


def read_strict(file: Path, text: str) -> object:
    """Slow, because it is written in Python; it knows the place of whatever is wrong."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = SafeValueConstructor
    try:
        return yaml.load(text)
    except MarkedYAMLError as error:
        position = error.problem_mark
        place = f"line {position.line + 1}, column {position.column + 1}" if position else "somewhere"
        raise SettingsError(f"{file}: {place}: {first_line(ValueError(error.problem))}") from None
    except Exception as wrong:  # noqa: BLE001 (a control character, YAML 1.3, what nobody has met yet: the file is wrong)
        raise SettingsError(f"{file}: somewhere: {first_line(wrong)}") from None
