"""What the commands share: where they print, which database they open, and who sits at the terminal.

Rule: `DATABASE_URL`, or its file, says where the ledger is; without it, it is the file in the data folder. A command
neither makes a ledger nor changes its tables: `serve` and `migrate` do, and `keys issue --create`. Where there is no
ledger, or one of another revision, the command says so and exits with 2.
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
    typer.Option("--data-dir", envvar="DATA_DIR", help="Folder of the embedded state; DATABASE_URL comes before it."),
]
TeamOption = Annotated[str | None, typer.Option("--team", help="One team; without it, all of them.")]
SinceOption = Annotated[
    str | None, typer.Option("--since", help="A date, or a date-time such as 2026-11-01T12:00:00Z; else the month's.")
]
UntilOption = Annotated[str | None, typer.Option("--until", help="The end, which does not belong to it; else now.")]


class Output(StrEnum):
    """How a command prints a list."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


OutputOption = Annotated[Output, typer.Option("--output", help="A table for people, or rows for programs.")]
ENCODER = msgspec.json.Encoder(decimal_format="number")


def config_folder(option: Path | None) -> Path:
    """The folder that was named, else ./config, else the one that came with the package."""
    packaged = Path(__file__).parents[1] / "shipped"
    return option or next((folder for folder in (Path("config"), packaged) if folder.is_dir()), Path("config"))


def database_url(data_dir: Path) -> str:
    """Where the ledger is."""
    secret = read_database_url(os.environ)
    return secret.current() if secret else f"sqlite:///{data_dir.resolve() / 'ledger.db'}"


def read_team_directory(folder: Path, catalog: Catalog, data_dir: Path) -> TeamDirectory:
    """Read teams and keys of the settings, and the team of `serve --dev` where it was started in this data folder."""
    dev = {"dev": Team(name="dev")} if (data_dir / "dev-key").exists() else {}
    directory = read_teams(folder / "teams.yaml", catalog, backend_names(folder / "gateway.yaml"))
    return TeamDirectory(teams={**directory.teams, **dev}, keys=directory.keys)


def read_config_teams(config: Path | None, data_dir: Path) -> Mapping[str, Team]:
    """Read the teams of the settings."""
    folder = config_folder(config)
    return read_team_directory(folder, read_catalog(folder / "models.yaml", now().date()), data_dir).teams


def terminal_actor() -> Actor:
    """Who sits at the terminal, by name or, as in a container, by number."""
    user = os.environ.get("LOGNAME") or os.environ.get("USER") or str(os.getuid())
    return Actor(name=f"cli:{user}", request_id=f"cli_{secrets.token_hex(16)}")


def add_column(table: Table, name: str, cells: Iterable[str], *, right: bool = False) -> None:
    """A column that is never cut off, also where the window is too narrow for it."""
    widest = max(len(text) for text in (name, *cells))
    table.add_column(name, min_width=widest, no_wrap=True, justify="right" if right else "left")


def print_rows(
    names: Sequence[str], rows: Iterable[Sequence[object]], output: Output, table: Callable[[], RenderableType]
) -> None:
    """Print a list: a table, or rows whose values have these names. Amounts are exact in each form."""
    if output is Output.TABLE:
        stdout.print(table())
    elif output is Output.JSON:
        encoded = ENCODER.encode([dict(zip(names, row, strict=True)) for row in rows])
        sys.stdout.write(msgspec.json.format(encoded, indent=2).decode() + "\n")
    else:
        csv.writer(sys.stdout, lineterminator="\n").writerows([names, *rows])


def run_on_ledger(command: Callable[[Database], Awaitable[None]], data_dir: Path) -> None:
    """Run a story on the ledger. What it refuses is told in one line."""
    run_command(_on_ledger(command, data_dir))


def run_command(command: Coroutine[Any, Any, None]) -> None:
    """Run a story. What it refuses is told in one line."""
    with exit_on_error():
        asyncio.run(command)


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Tell what is refused inside in one line, with exit code 2."""
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
    """Print what is wrong in one line on standard error."""
    _print_line(reason, "red")


def print_warning(problem: str) -> None:
    """Print what should be looked at in one line on standard error."""
    _print_line(f"warning: {problem}", "yellow")


def _print_line(text: str, style: str) -> None:
    """One line, whatever names and values are in it."""
    line = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)
    stderr.print(f"image-gateway: {escape(line)}", style=style)


async def _on_ledger(command: Callable[[Database], Awaitable[None]], data_dir: Path) -> None:
    async with open_ledger(data_dir) as database:
        await command(database)


@asynccontextmanager
async def open_ledger(data_dir: Path, *, create: bool = False, advice: str = "") -> AsyncIterator[Database]:
    """Open the ledger as it is; with `create` it is made where there is none.

    Raises `SchemaError` for a ledger that is missing (`advice` says what else could be done) or of another revision.
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
