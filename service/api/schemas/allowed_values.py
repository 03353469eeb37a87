"""Allowed values of a field in words, and the removal of nulls, both from the declared types of `requests.py`.

Rule: a null counts as an absent field, where its type allows no null or where the field is not declared. Only bodies
that were refused get here, so valid requests pay nothing for it.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import inspect

STEP = re.compile(r"\[(?P<item>[^\]]*)\]|(?P<field>[^.\[\]]+)")
NULL: Final = b"null"


def type_info(kind: type[Any]) -> inspect.Type:
    """Return msgspec's description of a type."""
    return inspect.type_info(kind)


def allowed_values(kind: type[Any], path: str) -> str | None:
    """Describe the allowed values at a path of a body; None where nothing is declared."""
    types = [type_info(kind)]
    for step in STEP.finditer(path):
        types = [inner for type_ in types for inner in _inner_types(type_, step["field"])]
    return " or ".join(text for place in types for text in _describe(place)) or None


def _flat_types(declaration: inspect.Type) -> Iterator[inspect.Type]:
    """Yield the members of a declared type."""
    if isinstance(declaration, inspect.Metadata):
        yield from _flat_types(declaration.type)
    elif isinstance(declaration, inspect.UnionType):
        for member in declaration.types:
            yield from _flat_types(member)
    else:
        yield declaration


def _inner_types(declaration: inspect.Type, field: str | None) -> Iterator[inspect.Type]:
    """Yield the types of a field of an object, or of an item of a list or of a dictionary."""
    for member in _flat_types(declaration):
        if isinstance(member, inspect.StructType) and field is not None:
            yield from (struct_field.type for struct_field in member.fields if struct_field.encode_name == field)
        elif isinstance(member, inspect.ListType) and field is None:
            yield member.item_type
        elif isinstance(member, inspect.DictType) and field is None:
            yield member.value_type


def _describe(declaration: inspect.Type) -> Iterator[str]:
    for member in _flat_types(declaration):
        match member:
            case inspect.LiteralType(values=values):
                *names, last = [f"'{value}'" for value in values]
                yield f"{', '.join(names)} or {last}" if names else last
            case inspect.IntType(ge=minimum, le=maximum):
                yield "a whole number" + _describe_range(minimum, maximum, "")
            case inspect.FloatType(ge=minimum, le=maximum):
                yield "a number" + _describe_range(minimum, maximum, "")
            case inspect.BoolType():
                yield "true or false"
            case inspect.StrType(min_length=minimum, max_length=maximum):
                yield "a string" + _describe_range(minimum, maximum, " characters")
            case inspect.RawType():
                yield "a string"
            case inspect.ListType(min_length=minimum, max_length=maximum):
                yield "a list" + _describe_range(minimum, maximum, " items")
            case inspect.StructType() | inspect.DictType():
                yield "an object"
            case _:
                pass


def _describe_range(minimum: float | None, maximum: float | None, unit: str) -> str:
    """Describe the bounds of a number, or of a number of `unit`."""
    joint = " of" if unit else " that is"
    if minimum is None and maximum is None:
        return ""
    if minimum is None:
        return f"{joint} at most {maximum}{unit}"
    if maximum is None:
        return f"{joint} at least {minimum}{unit}"
    return f"{joint if unit else ' from'} {minimum} to {maximum}{unit}"


def without_nulls(body: bytes | bytearray | memoryview, kind: type[Any]) -> bytes | None:
    """Remove the nulls that count as absent fields. Return None if there are none. Raises `msgspec.DecodeError`."""
    text = bytes(body).strip()
    bare = _prune(msgspec.Raw(text), type_info(kind)) if NULL in text else None
    return None if bare is None else bytes(bare)


def _prune(token: msgspec.Raw, declaration: inspect.Type) -> msgspec.Raw | None:
    """Remove such nulls from a token of a type. Return None if there are none."""
    first = bytes(memoryview(token)[:1])
    for member in _flat_types(declaration):
        if isinstance(member, inspect.StructType) and first == b"{":
            return _prune_object(token, member)
        if isinstance(member, inspect.ListType) and first == b"[":
            return _prune_list(token, member.item_type)
    return None


def _prune_object(token: msgspec.Raw, declaration: inspect.StructType) -> msgspec.Raw | None:
    members: dict[str, msgspec.Raw] = msgspec.json.decode(token, type=dict[str, msgspec.Raw])
    types = {field.encode_name: field.type for field in declaration.fields}
    without_null = {
        name: value for name, value in members.items() if not (_is_null(value) and not _allows_null(types.get(name)))
    }
    changed = len(without_null) < len(members)
    for name, value in without_null.items():
        pruned = _prune(value, types[name]) if name in types else None
        if pruned is not None:
            without_null[name], changed = pruned, True
    return msgspec.Raw(msgspec.json.encode(without_null)) if changed else None


def _prune_list(token: msgspec.Raw, item: inspect.Type) -> msgspec.Raw | None:
    items: list[msgspec.Raw] = msgspec.json.decode(token, type=list[msgspec.Raw])
    pruned = [_prune(element, item) for element in items]
    if all(element is None for element in pruned):
        return None
    bare = [old if new is None else new for old, new in zip(items, pruned, strict=True)]
    return msgspec.Raw(msgspec.json.encode(bare))


def _is_null(token: msgspec.Raw) -> bool:
    return bytes(memoryview(token)[: len(NULL) + 1]) == NULL


def _allows_null(declaration: inspect.Type | None) -> bool:
    return declaration is not None and any(
        isinstance(member, inspect.NoneType | inspect.RawType) for member in _flat_types(declaration)
    )
