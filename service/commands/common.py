"""Parts that the commands share: options, printing, the ledger and the user at the terminal.

Rule: the ledger is at `DATABASE_URL`, or in its file; by default it is a file in the data folder. Only `serve`,
`migrate` and `keys issue --create` create a ledger or change its tables.

Fails with: one line on standard error and exit code 2, also for a missing ledger or one of another revision.
"""

import asyncio
import csv
import os
import secrets
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table

from service.adapters.sql.database import (
    SQLITE,
    Database,
    SchemaError,
    describe_address,
    parse_file,
    parse_kind,
)
from service.adapters.sql.migrate import HEAD, migrate, read_revision
from service.composition.app_config import now
from service.domain.catalog import Catalog
from service.domain.errors import GatewayError
from service.domain.team_access import Team, TeamDirectory
from service.settings.gateway import backend_names
from service.settings.line_numbers import with_lines
from service.settings.models import read_catalog
from service.settings.store_urls import read_database_url
from service.settings.teams import read_teams
from service.settings.yaml_file import SettingsError, to_problems
from service.usecases.ports.key_store import Actor

stdout = Console(highlight=False, soft_wrap=True)
stderr = Console(stderr=True, highlight=False, soft_wrap=True)

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", envvar="IMAGE_GATEWAY_CONFIG", help="Folder with gateway.yaml, models.yaml, teams.yaml."),
]
DataOption = Annotated[
    Path,
    typer.Option("--data-dir", envvar="DATA_DIR", help="Folder of the embedded stores; DATABASE_URL overrides it."),
]
TeamOption = Annotated[str | None, typer.Option("--team", help="Only this team; all teams by default.")]
SinceOption = Annotated[
    str | None,
    typer.Option("--since", help="Start, such as 2026-11-01T12:00:00Z; by default that of the month."),
]
UntilOption = Annotated[str | None, typer.Option("--until", help="End, not included; by default now.")]


class Output(StrEnum):
    """Form of a printed list."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


OutputOption = Annotated[Output, typer.Option("--output", help="A table, or rows for programs.")]
ENCODER = msgspec.json.Encoder(decimal_format="number")


def config_folder(option: Path | None) -> Path:
    """Return the folder of the option, ./config, or the package's own folder: the first that there is."""
    packaged = Path(__file__).parents[1] / "shipped"
    return option or next((folder for folder in (Path("config"), packaged) if folder.is_dir()), Path("config"))


def database_url(data_dir: Path) -> str:
    """Return the address of the ledger."""
    secret = read_database_url(os.environ)
    return secret.current() if secret else f"sqlite:///{data_dir.resolve() / 'ledger.db'}"


def read_team_directory(folder: Path, catalog: Catalog, data_dir: Path) -> TeamDirectory:
    """Read teams and keys of the settings, and the team of `serve --dev` if that has used this data folder."""
    dev = {"dev": Team(name="dev")} if (data_dir / "dev-key").exists() else {}
    directory = read_teams(folder / "teams.yaml", catalog, backend_names(folder / "gateway.yaml"))
    return TeamDirectory(teams={**directory.teams, **dev}, keys=directory.keys)


def read_config_teams(config: Path | None, data_dir: Path) -> Mapping[str, Team]:
    """Read the teams of the settings."""
    folder = config_folder(config)
    return read_team_directory(folder, read_catalog(folder / "models.yaml", now().date()), data_dir).teams


def terminal_actor() -> Actor:
    """Return the user at the terminal, by name or, as in a container, by number."""
    user = os.environ.get("LOGNAME") or os.environ.get("USER") or str(os.getuid())
    return Actor(name=f"cli:{user}", request_id=f"cli_{secrets.token_hex(16)}")


def add_column(table: Table, name: str, cells: Iterable[str], *, right: bool = False) -> None:
    """Add a column that is never cut off, not even by a narrow window."""
    widest = max(len(text) for text in (name, *cells))
    table.add_column(name, min_width=widest, no_wrap=True, justify="right" if right else "left")


def print_rows(
    names: Sequence[str], rows: Iterable[Sequence[object]], output: Output, table: Callable[[], RenderableType]
) -> None:
    """Print a list: a table, or rows with named values. Amounts are exact in each form."""
    if output is Output.TABLE:
        stdout.print(table())
    elif output is Output.JSON:
        encoded = ENCODER.encode([dict(zip(names, row, strict=True)) for row in rows])
        sys.stdout.write(msgspec.json.format(encoded, indent=2).decode() + "\n")
    else:
        csv.writer(sys.stdout, lineterminator="\n").writerows([names, *rows])


def run_on_ledger(command: Callable[[Database], Awaitable[None]], data_dir: Path) -> None:
    """Run a command on the ledger, and exit with one line after an error."""
    run_command(_on_ledger(command, data_dir))


def run_command(command: Coroutine[Any, Any, None]) -> None:
    """Run a command, and exit with one line after an error."""
    with exit_on_error():
        asyncio.run(command)


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Print an error of the block in one line, and exit with code 2."""
    try:
        yield
    except GatewayError as wrong:
        print_error(f"{wrong.param}: {wrong.message}" if wrong.param else wrong.message)
        raise typer.Exit(2) from None
    except SchemaError as wrong:
        print_error(str(wrong))
        raise typer.Exit(2) from None
    except SettingsError as wrong:
        for line in with_lines(to_problems(wrong)):
            print_error(line)
        raise typer.Exit(2) from None


def print_error(reason: str) -> None:
    """Print an error in one line on standard error."""
    _print_line(reason, "red")


def print_warning(problem: str) -> None:
    """Print a warning in one line on standard error."""
    _print_line(f"warning: {problem}", "yellow")


def _print_line(text: str, style: str) -> None:
    # Control characters of names and values are escaped, so that the text stays in one line.
    line = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)
    stderr.print(f"image-gateway: {escape(line)}", style=style)


async def _on_ledger(command: Callable[[Database], Awaitable[None]], data_dir: Path) -> None:
    async with open_ledger(data_dir) as database:
        await command(database)


@asynccontextmanager
async def open_ledger(data_dir: Path, *, create: bool = False, advice: str = "") -> AsyncIterator[Database]:
    """Open the ledger; with `create` a missing one is created.

    Raises `SchemaError` for a missing ledger, with `advice` at the end of the message, or for another revision.
    """
    url = database_url(data_dir)
    current = await read_revision(url)
    if current is None and not create:
        missing = parse_kind(url) == SQLITE and not parse_file(url).exists()
        raise SchemaError(
            f"There is no ledger: the {describe_address(url)} "
            f"{'is not there' if missing else 'has none of its tables'}. "
            f"Name its folder with --data-dir (or DATA_DIR), or its address with DATABASE_URL.{advice}"
        )
    if current is None:
        await migrate(url)
    elif current != HEAD:
        raise SchemaError(
            f"The {describe_address(url)} is at revision {current}, and this version needs {HEAD}. "
            "`image-gateway migrate` brings it there."
        )
    database = Database(url)
    try:
        yield database
    finally:
        await database.close()
