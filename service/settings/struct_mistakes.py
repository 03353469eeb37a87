"""Decoding of a value into a struct with all of its mistakes, where msgspec reports the first mistake alone.

Rule: the part with the first mistake is removed and the rest decoded again, until no mistake or no value is left. A
mistake that follows from a removed part is not reported. The message for an unknown key suggests a similar known key.

Fails with: nothing; mistakes are part of the result. A value that contains itself is a `RecursionError`.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import inspect

from service.domain.did_you_mean import did_you_mean
from service.settings.renamed_keys import new_name

T = TypeVar("T")
Steps = tuple[str | int, ...]
STEP = re.compile(r"\.([^.\[\]`]+)|\[(\d+)\]")
UNKNOWN, MISSING = "Object contains unknown field `", "Object missing required field `"
ABSENT = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """One mistake.

    Attributes:
        path: Place of the mistake, as msgspec spells it.
        steps: Keys and indexes that lead to the wrong key itself.
    """

    path: str
    steps: Steps
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded(Generic[T]):
    """Value without its wrong parts, or None, and its mistakes."""

    value: T | None
    mistakes: list[Mistake] = field(default_factory=list)


def decode(value: object, kind: type[T], place: Steps = ()) -> Decoded[T]:
    """Decode a value, and collect every mistake in it. `place` leads to the value in its file."""
    mistakes: list[Mistake] = []
    removed = set[Steps]()
    while True:
        try:
            return Decoded(value=msgspec.convert(value, kind), mistakes=mistakes)
        except msgspec.ValidationError as invalid:
            reason, path = _split_message(str(invalid))
        steps, rest = _parse_path(path)
        original_steps = _original_steps(steps, removed)
        mistakes_here = _explain(reason, value, steps, inspect.type_info(kind), place)
        mistakes += [
            Mistake(path=_format_path(original_steps) + rest, steps=(*original_steps, *key), reason=text)
            for key, text in mistakes_here
            if (*original_steps, *key) not in removed
        ]
        removed_step = (*steps, *mistakes_here[0][0]) if reason.startswith(UNKNOWN) else steps
        if not removed_step or _value_at(value, removed_step) is ABSENT:
            return Decoded(value=None, mistakes=mistakes)
        removed.add((*original_steps, *removed_step[len(steps) :]))
        value = _without(value, removed_step)


def _explain(reason: str, value: object, steps: Steps, info: Any, place: Steps) -> list[tuple[Steps, str]]:  # noqa: ANN401 (inspect's types)
    """Return the wrong keys at a place with their reasons; for one missing key, all that are missing."""
    fields = _fields_at(info, steps)
    if reason.startswith(UNKNOWN):
        key = reason.removeprefix(UNKNOWN).removesuffix("`")
        if renamed := new_name(*place, *steps, key):
            return [((key,), f"`{key}` is called {renamed} now"), *_renamed_below(value, steps, key, renamed)]
        suggestion = did_you_mean(key, fields)
        return [((key,), f"{reason}.{suggestion}" if suggestion else reason)]
    if reason.startswith(MISSING):
        there = _value_at(value, steps)
        keys: Collection[object] = there if isinstance(there, dict) else ()
        return [((name,), f"{MISSING}{name}`") for name, needed in fields.items() if needed and name not in keys]
    return [((), reason)]


def _renamed_below(value: object, steps: Steps, section: str, renamed: str) -> list[tuple[Steps, str]]:
    """Return the old keys in a section that has an old name itself, so that one start reports all of them."""
    there = _value_at(value, (*steps, section))
    keys: Collection[object] = there if isinstance(there, dict) else ()
    names = [(key, new_name(*steps, renamed, key)) for key in keys if isinstance(key, str)]
    return [((section, key), f"`{section}.{key}` is called {renamed}.{name} now") for key, name in names if name]


def _split_message(text: str) -> tuple[str, str]:
    """Return the reason and the path of a message of msgspec; for a wrong key, the path of its mapping."""
    reason, _, path = text.partition(" - at `$")
    before, key, inside = reason.partition(" - at `key` in `$")
    return (f"a key is wrong: {before}", inside.rstrip("`")) if key else (reason, path.rstrip("`"))


def _parse_path(path: str) -> tuple[Steps, str]:
    """Return the steps of a path of msgspec, and the rest that names no key."""
    steps: list[str | int] = []
    end = 0
    while match := STEP.match(path, end):
        steps.append(match[1] if match[1] is not None else int(match[2]))
        end = match.end()
    return tuple(steps), path[end:]


def _format_path(steps: Steps) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)


def _original_steps(steps: Steps, removed: Collection[Steps]) -> Steps:
    """Return the steps in the original value, where removed entries of lists still count."""
    original: Steps = ()
    for step in steps:
        if isinstance(step, int):
            for index in sorted(
                other[-1] for other in removed if other[:-1] == original and isinstance(other[-1], int)
            ):
                step += index <= step  # noqa: PLW2901 (one for each removed entry before it)
        original = (*original, step)
    return original


def _value_at(value: Any, steps: Steps) -> Any:  # noqa: ANN401 (whatever a file holds)
    for step in steps:
        try:
            value = value[step]
        except (LookupError, TypeError):
            return ABSENT
    return value


def _without(value: Any, steps: Steps) -> Any:  # noqa: ANN401 (likewise)
    """Return a copy without the part at the end of the steps."""
    step, *rest = steps
    changed = value.copy()
    if rest:
        changed[step] = _without(value[step], tuple(rest))
    else:
        del changed[step]
    return changed


def _fields_at(info: Any, steps: Steps) -> dict[str, bool]:  # noqa: ANN401 (inspect's types)
    """Return the keys of the struct at the end of the steps, and whether each is required."""
    for step in (*steps, None):
        while isinstance(info, inspect.Metadata | inspect.UnionType):
            info = info.type if isinstance(info, inspect.Metadata) else _non_null_type(info)
        if step is None:
            break
        if isinstance(info, inspect.StructType):
            info = next((struct_field.type for struct_field in info.fields if struct_field.encode_name == step), None)
        else:
            info = getattr(info, "item_type", getattr(info, "value_type", None))
    return {entry.encode_name: entry.required for entry in info.fields} if isinstance(info, inspect.StructType) else {}


def _non_null_type(info: inspect.UnionType) -> Any:  # noqa: ANN401 (inspect's types)
    """Return the type of an optional value."""
    return next(member for member in info.types if not isinstance(member, inspect.NoneType))
