"""Every number in a settings file has a least and a greatest value, and is a number."""

from collections.abc import Iterator
from math import inf, nan
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
import pytest

from service.settings.docs_and_schema import FILES, build_schema
from service.settings.yaml_file import Entry

LEAST, GREATEST = {"minimum", "exclusiveMinimum"}, {"maximum", "exclusiveMaximum"}


def numbers(schema: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every number in a JSON Schema, with where it is."""
    if isinstance(schema, list):
        for index, part in enumerate(schema):
            yield from numbers(part, f"{path}[{index}]")
    elif isinstance(schema, dict):
        if schema.get("type") in {"integer", "number"}:
            yield path, schema
        for name, part in schema.items():
            if name != "default":
                yield from numbers(part, f"{path}.{name}")


NUMBERS = [part for title, kind in FILES.items() for part in numbers(build_schema(kind, title), title)]


def test_there_are_numbers_in_each_file() -> None:
    assert {path.partition(".")[0] for path, _ in NUMBERS} == set(FILES)
    assert len(NUMBERS) > 50


@pytest.mark.parametrize(("path", "schema"), NUMBERS, ids=[path for path, _ in NUMBERS])
def test_a_number_has_a_least_and_a_greatest_value(path: str, schema: dict[str, Any]) -> None:
    assert LEAST & schema.keys(), f"{path} has no least value"
    assert GREATEST & schema.keys(), f"{path} has no greatest value"


def structs(kind: Any, seen: set[type]) -> Iterator[type[Entry]]:
    """A struct, and those that its fields are made of."""
    if isinstance(kind, type) and issubclass(kind, Entry):
        if kind not in seen:
            seen.add(kind)
            yield kind
            for field in msgspec.structs.fields(kind):
                yield from structs(field.type, seen)
        return
    for part in getattr(kind, "__metadata__", ()):
        yield from structs((part.extra or {}).get("of"), seen)
    for part in get_args(kind):
        yield from structs(part, seen)


def is_float(kind: Any) -> bool:
    """May a value of this type be a float?"""
    if get_origin(kind) is Annotated:
        return is_float(get_args(kind)[0])
    if get_origin(kind) in {Union, UnionType}:
        return any(is_float(part) for part in get_args(kind) if part is not NoneType)
    return kind is float


SEEN: set[type] = set()
FLOATS = {
    f"{struct.__name__}.{field.name}": field.type
    for kind in FILES.values()
    for struct in structs(kind, SEEN)
    for field in msgspec.structs.fields(struct)
    if is_float(field.type)
}
ZERO = {
    "SandboxSection.delay_seconds",
    "RequestsSection.min_bytes_per_second",
    "ServingSection.grace_seconds",
    "ServingSection.drain_seconds",
    "RoutingSection.wait_seconds",
    "DatabaseSection.wait_seconds",
    "LogsSection.sample",
}
"""Where nothing has a meaning: no wait, or no line."""


def test_there_are_floats() -> None:
    assert len(FLOATS) > 15
    assert FLOATS.keys() >= ZERO


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("value", [nan, inf, -inf, 1e300, -1.0])
def test_what_is_no_sensible_number_is_refused(name: str, value: float) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(value, FLOATS[name])


@pytest.mark.parametrize("name", sorted(FLOATS.keys() - ZERO))
def test_next_to_nothing_is_refused_unless_nothing_has_a_meaning(name: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(1e-300, FLOATS[name])
