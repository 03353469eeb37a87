"""`image-gateway reference` and `schema`: every setting, as the Markdown of `docs/configuration.md` or as JSON Schema.

Rule: written from the structs that read the settings (`settings/docs_and_schema.py`), so it cannot be wrong about
names, types, bounds and defaults. Connects to nothing.
"""

import sys
from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec
import typer

from service.settings.docs_and_schema import FILES, SettingRow, build_schema, setting_rows
from service.settings.environment_variables import TABLES

HEAD = """# Configuration

Written by `make configuration` from the structs in `service/settings/`; a test fails where they differ. The files in
`config/` say why things are as they are, and every default stands in them; `image-gateway check` reads yours as a
start would. A key that is not listed here stops the start, with its place.

- A key that must be there says *required*; an empty default is: nothing, none, or the defaults of the keys below it.
- `<name>` stands for a name that you choose, `[]` for each entry of a list.
- `models.yaml` and `teams.yaml` are read again when they change; `gateway.yaml` and the environment at a start.
- `config/schemas/` has the same for editors, as JSON Schema (`image-gateway schema gateway`). The first line of each
  shipped file tells the YAML language server of VS Code and others about it.
"""

TITLE = "{name}.yaml of image-gateway"
COLUMNS = "| Key | Is | Default | Means |\n|---|---|---|---|\n"


def settings_reference() -> None:
    """Print every key of the settings and every environment variable, as docs/configuration.md."""
    sys.stdout.write(build_page())


def schema(name: Annotated[Literal["gateway", "models", "teams"], typer.Argument(help="Which file.")]) -> None:
    """Print the JSON Schema of a settings file."""
    sys.stdout.write(render_schema(name))


def render_schema(name: str) -> str:
    """The JSON Schema of a settings file, as a document."""
    encoded = msgspec.json.encode(build_schema(FILES[name], TITLE.format(name=name)))
    return msgspec.json.format(encoded, indent=2).decode() + "\n"


def build_page() -> str:
    """The page."""
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
        yield f"\n### {title}\n\n| Variable | Does |\n|---|---|\n"
        for names, meaning in table.items():
            quoted = ", ".join(f"`{name}`" for name in names.split(", "))
            yield f"| {quoted} | {meaning} |\n"
