"""JSON Schemas and documentation rows of the settings files, generated from the structs that read them.

Rule: types, bounds, defaults and descriptions are those of the structs' fields. Conditions on several values, such as
names that are defined elsewhere, are not in a schema; the readers check them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin

import msgspec

from service.settings.gateway_file import GatewayFile
from service.settings.models_file import ModelsFile
from service.settings.teams import TeamsFile
from service.settings.yaml_file import Entry

Schema = dict[str, Any]

FILES: Mapping[str, type[Entry]] = {"gateway": GatewayFile, "models": ModelsFile, "teams": TeamsFile}
DRAFT = "https://json-schema.org/draft/2020-12/schema"
DEFS_PREFIX = "#/$defs/"
NOUNS = {"boolean": "true or false", "integer": "whole number", "number": "number", "string": "text"}
PLURALS = {"integer": "whole numbers", "string": "texts", "number": "numbers"}
BOUNDS = (("minimum", "at least"), ("exclusiveMinimum", "more than"), ("maximum", "at most"))


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingRow:
    """Path, type, default (None: required) and description of one key."""

    path: str
    type: str
    default: str | None
    description: str


def build_schema(kind: type[Entry], title: str) -> Schema:
    """Build the JSON Schema of a file. The type of a table's entries comes from its `Meta.extra`."""
    tables = [*_tables(kind)]
    (top, *entries), parts = msgspec.json.schema_components(
        [kind, *(of for _, _, of in tables)], ref_template=DEFS_PREFIX + "{name}", schema_hook=_any_entry
    )
    for (owner, name, _), entry in zip(tables, entries, strict=True):
        parts[owner]["properties"][name]["additionalProperties"] = entry
    words = {DEFS_PREFIX + name: {"enum": part["enum"]} for name, part in parts.items() if "enum" in part}
    structs = {name: _to_yaml_values(part, words) for name, part in parts.items() if "enum" not in part}
    return {"$schema": DRAFT, "title": title, **top, "$defs": structs}


def _any_entry(kind: type) -> Schema:
    """Return a placeholder for the entries of a table, which `build_schema` replaces."""
    if kind is not object:
        raise NotImplementedError  # msgspec's sign that the hook has no schema for a type
    return {"type": "object"}


def _tables(kind: type[Entry]) -> Iterator[tuple[str, str, Any]]:
    """Yield every table whose entries are read one by one: its struct, its field, and the type of its entries."""
    for field in msgspec.structs.fields(kind):
        entry_type = next((meta.extra["of"] for meta in getattr(field.type, "__metadata__", ()) if meta.extra), None)
        if entry_type is not None:
            yield kind.__name__, field.name, entry_type
        if isinstance(entry_type, type) and issubclass(entry_type, Entry):
            yield from _tables(entry_type)
        for inside in _structs_in(field.type):
            yield from _tables(inside)


def _structs_in(kind: Any) -> Iterator[type[Entry]]:  # noqa: ANN401 (any annotation)
    """Yield the struct of a field, also inside a list."""
    if isinstance(kind, type) and issubclass(kind, Entry):
        yield kind
    elif get_origin(kind) in {list, Annotated}:
        yield from _structs_in(get_args(kind)[0])


def _to_yaml_values(part: Any, words: Mapping[str, Schema]) -> Any:  # noqa: ANN401 (a JSON document)
    """Return a part for YAML: amounts are numbers, and references to enums are replaced by their `words`."""
    if isinstance(part, list):
        return [_to_yaml_values(item, words) for item in part]
    if not isinstance(part, dict):
        return part
    values = {name: _to_yaml_values(value, words) for name, value in part.items()}
    if values.get("format") == "decimal":
        values = {name: value for name, value in values.items() if name != "format"} | {"type": "number"}
    if values.get("$ref") in words:
        values |= words[values.pop("$ref")]
    return values


def setting_rows(schema: Schema) -> Iterator[SettingRow]:
    """Yield every key of a file in the order of its structs. A struct that repeats is listed once."""
    yield from _rows(schema, schema, "", {})


def _rows(schema: Schema, node: Schema, path: str, seen: dict[str, str]) -> Iterator[SettingRow]:
    struct = _resolve(schema, node)
    for name, property_schema in struct["properties"].items():
        key_path = f"{path}{name}"
        below, reference = _nested_struct(property_schema, key_path)
        before = seen.get(reference or "")
        yield SettingRow(
            path=key_path,
            type=_type_text(name, _without_null(property_schema)) + (f", as `{before}`" if before else ""),
            default=None if name in struct.get("required", ()) else _default_text(property_schema.get("default")),
            description=property_schema.get("description") or _section_description(schema, property_schema),
        )
        if reference and not before:
            seen[reference] = key_path
            yield from _rows(schema, {"$ref": reference}, f"{below}.", seen)


def _section_description(schema: Schema, property_schema: Schema) -> str:
    """Return the description of a section, which is that of its struct."""
    description: str = _resolve(schema, property_schema)["description"]
    return description


def _resolve(schema: Schema, node: Schema) -> Schema:
    definition: Schema = schema["$defs"][node["$ref"].removeprefix(DEFS_PREFIX)]
    return definition


def _without_null(value_schema: Schema) -> Schema:
    """Return the schema of a value without its null."""
    choices = [choice for choice in value_schema.get("anyOf", ()) if choice.get("type") != "null"]
    return {**value_schema, **choices[0]} if choices else value_schema


def _nested_struct(value_schema: Schema, path: str) -> tuple[str, str | None]:
    """Return the path and the struct of a value, also inside tables and lists; None for other values."""
    value = _without_null(value_schema)
    if "$ref" in value:
        return path, value["$ref"]
    if isinstance(value.get("additionalProperties"), dict):
        return _nested_struct(value["additionalProperties"], f"{path}.<name>")
    return _nested_struct(value["items"], f"{path}[]") if isinstance(value.get("items"), dict) else (path, None)


def _type_text(name: str, value: Schema) -> str:
    """Return a type in words, such as `number of seconds, more than 0`."""
    if "$ref" in value:
        return "section"
    if "enum" in value:
        return "one of " + ", ".join(map(str, value["enum"]))
    if value["type"] == "array":
        return f"list of {_plural(value.get('items', {}))}"
    if value["type"] == "object":
        return f"table of {_plural(value.get('additionalProperties', {}))}"
    return ", ".join((_unit_noun(name, value), *_bound_texts(value)))


def _plural(value: Schema) -> str:
    if "$ref" in value:
        return "sections"
    if value.get("type") in {"array", "object"}:
        inner = value.get("items") or value.get("additionalProperties") or {}
        return ("lists of " if value["type"] == "array" else "tables of ") + _plural(inner)
    noun = f"{value['title']}s" if "title" in value else PLURALS[value["type"]]
    return ", ".join((noun, *_bound_texts(value)))


def _unit_noun(name: str, value: Schema) -> str:
    """Return the noun of a type, with the unit that the name of a number ends in."""
    noun: str = value.get("title") or ("date" if value.get("format") == "date" else NOUNS[value["type"]])
    unit = name.rpartition("_")[2]
    return f"{noun} of {unit}" if unit in {"seconds", "bytes", "pixels"} else noun


def _bound_texts(value: Schema) -> Iterator[str]:
    if "minimum" in value and "maximum" in value:
        yield f"{value['minimum']:,} to {value['maximum']:,}"
    else:
        yield from (f"{words} {value[bound]:,}" for bound, words in BOUNDS if bound in value)


def _default_text(value: object) -> str:
    """Return a default as the file would have it; empty for null and for sections."""
    if value is None or isinstance(value, dict):
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
