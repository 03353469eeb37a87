"""`image-gateway reference` and `schema`: all settings, as the Markdown of `docs/configuration.md` or as JSON Schema.

Rule: both are generated from the structs that read the settings (`settings/docs_and_schema.py`), so names, types,
bounds and defaults are those of the code.
"""

import sys
from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec
import typer

from service.settings.docs_and_schema import FILES, SettingRow, build_schema, setting_rows
from service.settings.environment_variables import TABLES

HEAD = """# Configuration

`make configuration` generates this page from the structs in `service/settings/`; a test fails if they differ. The files
in `config/` have all defaults, with reasons. `image-gateway check` reads your files as a start does. A key that is not
listed here stops the start, with its place.

- *required* marks a key without a default. An empty default means none, or the defaults of the keys below it.
- `<name>` stands for a name that you choose, `[]` for each entry of a list.
- `models.yaml` and `teams.yaml` are read again when they change; `gateway.yaml` and the environment at a start.
- `config/schemas/` has JSON Schemas for editors (`image-gateway schema gateway`). The first line of each shipped file
  names its schema for the YAML language server of VS Code and other editors.
"""

TITLE = "{name}.yaml of image-gateway"
COLUMNS = "| Key | Type | Default | Description |\n|---|---|---|---|\n"


def settings_reference() -> None:
    """Print every key of the settings and every environment variable, as docs/configuration.md."""
    sys.stdout.write(build_page())


def schema(name: Annotated[Literal["gateway", "models", "teams"], typer.Argument(help="Name of the file.")]) -> None:
    """Print the JSON Schema of a settings file."""
    sys.stdout.write(render_schema(name))


def render_schema(name: str) -> str:
    """Return the JSON Schema of a settings file as a document."""
    encoded = msgspec.json.encode(build_schema(FILES[name], TITLE.format(name=name)))
    return msgspec.json.format(encoded, indent=2).decode() + "\n"


def build_page() -> str:
    """Return the text of `docs/configuration.md`."""
    return HEAD + "".join(_file_sections()) + "".join(_variable_sections())


def _file_sections() -> Iterator[str]:
    for name, kind in FILES.items():
        yield f"\n## {name}.yaml\n\n{COLUMNS}"
        yield from map(_table_line, setting_rows(build_schema(kind, TITLE.format(name=name))))


def _table_line(row: SettingRow) -> str:
    default = "*required*" if row.default is None else f"`{row.default}`" if row.default else ""
    return f"| `{row.path}` | {row.type} | {default} | {row.description} |\n"


def _variable_sections() -> Iterator[str]:
    yield "\n## Environment\n"
    for title, table in TABLES:
        yield f"\n### {title}\n\n| Variable | Description |\n|---|---|\n"
        for names, description in table.items():
            quoted = ", ".join(f"`{name}`" for name in names.split(", "))
            yield f"| {quoted} | {description} |\n"
