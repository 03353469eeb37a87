"""The table of values in the chart's README: defaults from `values.yaml`, descriptions from `values.schema.json`."""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from ruamel.yaml import YAML

from tools.helm.chart import CHART

README = CHART / "README.md"
BEGIN, END = "<!-- values: written by `make chart-files` -->\n", "<!-- /values -->\n"
LONGEST = 60


@cache
def values() -> Mapping[str, Any]:
    document: Mapping[str, Any] = YAML(typ="safe", pure=True).load(CHART / "values.yaml")
    return document


def schema() -> Mapping[str, Any]:
    document: Mapping[str, Any] = json.loads((CHART / "values.schema.json").read_text())
    return document


def leaves(part: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each value that has a row: one without fields of its own in the schema. `global` is Helm's."""
    for name, entry in part["properties"].items():
        if name == "global" and not path:
            continue
        whole = f"{path}{name}"
        if entry.get("additionalProperties") is False and not _is_reference(entry):
            yield from leaves(entry, f"{whole}.")
        else:
            yield whole, entry


def _is_reference(entry: Mapping[str, Any]) -> bool:
    return set(entry["properties"]) <= {"secret", "key", "optional"}


def default(path: str) -> object:
    """Return the default of a value. Raises `KeyError` if `values.yaml` lacks it."""
    value: Any = values()
    for name in path.split("."):
        value = value[name]
    return value


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return f"`{text}`" if len(text) <= LONGEST else "see `values.yaml`"


def table() -> str:
    rows = (f"| `{path}` | {_shown(default(path))} | {entry['description']} |\n" for path, entry in leaves(schema()))
    return "| Value | Default | Is |\n|---|---|---|\n" + "".join(rows)


def readme() -> str:
    """Return the README with the table of today."""
    before, _, rest = README.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"
