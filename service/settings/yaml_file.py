"""Strict reading of one YAML file: YAML 1.2, no duplicate keys, no unknown keys, no NaN, bounds for every number.

Rule: mistakes are collected, so that one start reports all of them.

Fails with: `SettingsError`, whose text is `file: place: reason`, for every content of a file.
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
from service.settings import struct_mistakes
from service.settings.fast_yaml import NOT_PLAIN, read_plain
from service.settings.struct_mistakes import Steps

T = TypeVar("T")
CacheSeconds = Annotated[int, Meta(ge=0, le=31_536_000)] | None
"""Lifetime of cached results; 0 switches the cache off, None leaves it to the next setting."""

FileStamp = tuple[int, int, int]
UNUSABLE_CHARACTERS = re.compile(r"[\x00\ud800-\udfff]")
"""Characters that no file name, address or header has, although YAML can spell them."""

Count = Annotated[int, Meta(ge=1, le=MAX_COUNT)]
Address = Annotated[str, Meta(title="http or https address")]
FilePath = Annotated[str, Meta(title="path of a file")]
Seconds = Annotated[float, Meta(ge=0.001, le=86_400)]

Dollars = Annotated[Decimal, Meta(extra_json_schema={"minimum": 0, "maximum": int(MAX_DOLLARS)})]
"""Amount that `FilePlace.to_nano_usd` checks."""

TokenCount = Annotated[int, Meta(extra_json_schema={"minimum": 1, "maximum": MAX_COUNT})]
"""Count in a table. Its reader checks it, because the reader knows the name of its place."""


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of every part of a settings file: an unknown key is a mistake."""


class SettingsError(Exception):
    """Setting that cannot be used. The message names file, place and reason.

    Attributes:
        file: File with the mistake; None if the environment has it.
        steps: Keys and indexes that lead to the mistake.
    """

    def __init__(self, message: str, file: Path | None = None, steps: Steps = ()) -> None:
        super().__init__(message)
        self.file = file
        self.steps = steps


class SettingsErrors(SettingsError):
    """All mistakes; the message is that of the first."""

    def __init__(self, problems: Sequence[Exception]) -> None:
        super().__init__(str(problems[0]))
        self.problems = tuple(problems)


class FollowOnError(SettingsError):
    """Mistake that follows from another one, which is reported instead."""


def to_problems(error: Exception) -> tuple[Exception, ...]:
    """Return each mistake by itself."""
    if isinstance(error, SettingsErrors):
        return error.problems
    return () if isinstance(error, FollowOnError) else (error,)


ErrorTypes = tuple[type[Exception], ...]


class ErrorCollector:
    """Context that collects an error of the given types, which ends its block."""

    __slots__ = ("_errors", "_types")

    def __init__(self, errors: list[Exception], types: ErrorTypes) -> None:
        self._errors = errors
        self._types = types

    def __enter__(self) -> None:
        """Enter; collecting needs no preparation."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        """Collect an error of these types; every other error propagates."""
        if not isinstance(error, self._types):
            return False
        self._errors += to_problems(error)
        return True


NO_COLLECTOR = ErrorCollector([], ())


class Problems:
    """Collection of mistakes, so that all of them are reported together."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self.collecting = ErrorCollector(self.errors, (SettingsError,))

    def attempt(self, build: Callable[[], T], kinds: ErrorTypes = (SettingsError,)) -> T | None:
        """Return the built value, or None after a mistake."""
        value: list[T] = []
        with ErrorCollector(self.errors, kinds):
            value.append(build())
        return value[0] if value else None

    def error(self) -> Exception:
        """Return the only mistake, or all of them as `SettingsErrors`."""
        return self.errors[0] if len(self.errors) == 1 else SettingsErrors(self.errors)


@contextmanager
def open_place(file: Path) -> Iterator["FilePlace"]:
    """Yield the top of a file; its reader continues after mistakes. Raises all of them at the end."""
    problems = Problems()
    try:
        yield FilePlace(file, problems=problems)
    except SettingsError as wrong:
        problems.errors += to_problems(wrong)
    if problems.errors:
        raise problems.error()


class FilePlace:
    """Place in a file, for messages about mistakes. With `problems` mistakes are collected, without they are raised."""

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
        """Return the error for a mistake at this place."""
        return SettingsError(f"{self}: {reason}", self._file, self._steps)

    def collecting(self) -> ErrorCollector:
        """Return a context that collects mistakes, if this place does."""
        return NO_COLLECTOR if self._problems is None else self._problems.collecting

    def attempt(self, build: Callable[[], T]) -> T | None:
        """Return the built value, or None after a collected mistake."""
        return build() if self._problems is None else self._problems.attempt(build)

    def decode(self, value: object, kind: type[T]) -> T:
        """Decode a value into a type. Raises `SettingsErrors`, or collects the mistakes and returns the rest."""
        if value is None and self._path == "$":
            raise self.error("is empty")
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError:
            decoded = struct_mistakes.decode(value, kind, self._steps)
        except RecursionError:  # an alias inside its own anchor
            raise self.error("holds itself") from None
        errors = SettingsErrors([self._error_at(mistake) for mistake in decoded.mistakes])
        if self._problems is None or decoded.value is None:
            raise errors
        self._problems.errors += errors.problems
        return decoded.value

    def _error_at(self, mistake: struct_mistakes.Mistake) -> SettingsError:
        message = f"{self._file}: {self._path}{mistake.path}: {mistake.reason}"
        return SettingsError(message, self._file, (*self._steps, *mistake.steps))

    def table(self, value: object, kind: type[T]) -> dict[str, T]:
        """Decode a mapping of names to structs, entry by entry, so that an error names its entry."""
        entries = self.decode({} if value is None else value, dict[str, object])
        entries_by_name: dict[str, T] = {}
        for name, entry in entries.items():
            place = self / name
            with place.collecting():
                entries_by_name[name] = place.decode(entry, kind)
        return entries_by_name

    def to_nano_usd(self, amount: Decimal, per: int = 1) -> int:
        """Convert US dollars for `per` units into whole nano-USD for one unit. Raises `SettingsError`."""
        try:
            return parse_dollars(amount, per)
        except InvalidValue as wrong:
            raise self.error(wrong.message) from None

    def lookup(self, table: Mapping[str, T], name: str, raw_table: Collection[str] = ()) -> T:
        """Return an entry of another table. An entry that is only in `raw_table` is wrong, and reported there."""
        if name in table:
            return table[name]
        if name in raw_table:
            raise FollowOnError(f"{self}: '{name}' is wrong itself")
        defined = ", ".join(sorted(table)) or "none"
        raise self.error(
            f"'{name}' is not defined; defined are {defined}.{did_you_mean(name, table)}".removesuffix(".")
        )


class SafeValueConstructor(SafeConstructor):
    """Constructor of values, which turns every error of a value's type into an error at its place."""

    def construct_object(self, node: Any, deep: bool = False) -> Any:  # noqa: ANN401, FBT001, FBT002 (ruamel.yaml's)
        """Return a value. Raises `ConstructorError` with its place."""
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
    """Return the first line of an error's message."""
    reason, *_ = str(error).splitlines() or [type(error).__name__]
    return reason or type(error).__name__


def file_stamp(file: Path) -> FileStamp | None:
    """Return a value that changes with the file, also if a link leads to another file; None without a file."""
    try:
        stat = file.stat()
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_size


def read_yaml(file: Path) -> object:
    """Read the document of a file. Raises `SettingsError` for every content that is no plain YAML 1.2."""
    try:
        text = file.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise SettingsError(f"{file}: cannot be read: {error}") from None
    document = read_plain(text)
    return read_strict(file, text) if document is NOT_PLAIN else document


def read_strict(file: Path, text: str) -> object:
    """Read a document with the parser in Python, which is slow and knows the place of a mistake."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = SafeValueConstructor
    try:
        return yaml.load(text)
    except MarkedYAMLError as error:
        position = error.problem_mark
        place = f"line {position.line + 1}, column {position.column + 1}" if position else "somewhere"
        raise SettingsError(f"{file}: {place}: {first_line(ValueError(error.problem))}") from None
    except Exception as wrong:  # noqa: BLE001 (a control character, YAML 1.3, or an unforeseen error: the file is wrong)
        raise SettingsError(f"{file}: somewhere: {first_line(wrong)}") from None
