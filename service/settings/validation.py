"""Every mistake in the structure of a value, where msgspec tells the first.

Rule: what the first mistake names is taken out, and the rest is read again, until nothing is wrong or nothing is left.
A mistake that follows from one taken out before is not told. An unknown key is told with the known one that is close.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import inspect

from service.domain.did_you_mean import did_you_mean

T = TypeVar("T")
Steps = tuple[str | int, ...]
STEP = re.compile(r"\.([^.\[\]`]+)|\[(\d+)\]")
UNKNOWN, MISSING = "Object contains unknown field `", "Object missing required field `"
ABSENT = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """What is wrong: `path` leads to its place as msgspec spells it, `steps` to the key itself."""

    path: str
    steps: Steps
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Validated(Generic[T]):
    """What is left of a value without what is wrong in it, or None."""

    value: T | None
    mistakes: list[Mistake] = field(default_factory=list)


def validate(value: object, kind: type[T]) -> Validated[T]:
    """Return a value as that kind, and every mistake in it."""
    mistakes: list[Mistake] = []
    gone = set[Steps]()
    while True:
        try:
            return Validated(value=msgspec.convert(value, kind), mistakes=mistakes)
        except msgspec.ValidationError as invalid:
            reason, path = _split_message(str(invalid))
        steps, rest = _parse_path(path)
        real = _original_steps(steps, gone)
        told = _explain(reason, value, steps, inspect.type_info(kind))
        mistakes += [
            Mistake(path=_format_path(real) + rest, steps=(*real, *key), reason=text)
            for key, text in told
            if (*real, *key) not in gone
        ]
        out = (*steps, *told[0][0]) if reason.startswith(UNKNOWN) else steps
        if not out or _value_at(value, out) is ABSENT:
            return Validated(value=None, mistakes=mistakes)
        gone.add((*real, *out[len(steps) :]))
        value = _without(value, out)


def _explain(reason: str, value: object, steps: Steps, info: Any) -> list[tuple[Steps, str]]:  # noqa: ANN401 (inspect's types)
    """The keys at a place that are wrong, with the reasons; all that are missing, where one is."""
    fields = _fields_at(info, steps)
    if reason.startswith(UNKNOWN):
        key = reason.removeprefix(UNKNOWN).removesuffix("`")
        near = did_you_mean(key, fields)
        return [((key,), f"{reason}.{near}" if near else reason)]
    if reason.startswith(MISSING):
        there = _value_at(value, steps)
        given: Collection[object] = there if isinstance(there, dict) else ()
        return [((name,), f"{MISSING}{name}`") for name, needed in fields.items() if needed and name not in given]
    return [((), reason)]


def _split_message(text: str) -> tuple[str, str]:
    """The reason and the path in a message of msgspec's; of a key that is wrong, the path of what it is in."""
    reason, _, path = text.partition(" - at `$")
    before, key, inside = reason.partition(" - at `key` in `$")
    return (f"a key is wrong: {before}", inside.rstrip("`")) if key else (reason, path.rstrip("`"))


def _parse_path(path: str) -> tuple[Steps, str]:
    """What a path of msgspec's leads along, and the rest that names no key."""
    steps: list[str | int] = []
    end = 0
    while found := STEP.match(path, end):
        steps.append(found[1] if found[1] is not None else int(found[2]))
        end = found.end()
    return tuple(steps), path[end:]


def _format_path(steps: Steps) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)


def _original_steps(steps: Steps, gone: Collection[Steps]) -> Steps:
    """The steps in the value as it was given: entries of lists that are gone count again."""
    real: Steps = ()
    for step in steps:
        if isinstance(step, int):
            for index in sorted(each[-1] for each in gone if each[:-1] == real and isinstance(each[-1], int)):
                step += index <= step  # noqa: PLW2901 (it moves by one for each)
        real = (*real, step)
    return real


def _value_at(value: Any, steps: Steps) -> Any:  # noqa: ANN401 (whatever a file holds)
    for step in steps:
        try:
            value = value[step]
        except (LookupError, TypeError):
            return ABSENT
    return value


def _without(value: Any, steps: Steps) -> Any:  # noqa: ANN401 (likewise)
    """A copy without what is at the end of the steps."""
    step, *rest = steps
    changed = value.copy()
    if rest:
        changed[step] = _without(value[step], tuple(rest))
    else:
        del changed[step]
    return changed


def _fields_at(info: Any, steps: Steps) -> dict[str, bool]:  # noqa: ANN401 (inspect's types)
    """The keys that a struct at the end of the steps has, and whether each has to be there."""
    for step in (*steps, None):
        while isinstance(info, inspect.Metadata | inspect.UnionType):
            info = info.type if isinstance(info, inspect.Metadata) else _non_null_type(info)
        if step is None:
            break
        if isinstance(info, inspect.StructType):
            info = next((each.type for each in info.fields if each.encode_name == step), None)
        else:
            info = getattr(info, "item_type", getattr(info, "value_type", None))
    return {each.encode_name: each.required for each in info.fields} if isinstance(info, inspect.StructType) else {}


def _non_null_type(info: inspect.UnionType) -> Any:  # noqa: ANN401 (inspect's types)
    """Of a value or none, the value."""
    return next(each for each in info.types if not isinstance(each, inspect.NoneType))
