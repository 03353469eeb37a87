"""`image-gateway migrate`: migration of the ledger's tables to this version.

Rule: a start of the gateway migrates with the same code and the same lock. The command needs `DATABASE_URL` or the data
folder alone. With --check it changes nothing, and exits with 1 if a migration is due.

Fails with: one line without a password and exit code 2, if the database does not answer or is newer.
"""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from service.adapters.sql.database import describe_address
from service.adapters.sql.migrate import HEAD, read_revision
from service.adapters.sql.migrate import migrate as run_migrations
from service.commands.common import DataOption, database_url, run_command, stdout

DATA = Path("data")
CheckOption = Annotated[bool, typer.Option("--check", help="Change nothing; exit with 1 if a migration is due.")]


def migrate(data_dir: DataOption = DATA, check: CheckOption = False) -> None:  # noqa: FBT002 (a flag)
    """Migrate the ledger's tables to this version."""
    run_command(_check(data_dir) if check else _migrate(data_dir))


async def _migrate(data_dir: Path) -> None:
    url = database_url(data_dir)
    revision_before = await run_migrations(url)
    _print_result(
        url,
        f"was at {_revision_name(revision_before)}, is at {HEAD} now"
        if revision_before != HEAD
        else f"is at {HEAD}, as it has to be",
    )


async def _check(data_dir: Path) -> None:
    url = database_url(data_dir)
    current = await read_revision(url)
    if current == HEAD:
        _print_result(url, f"is at {HEAD}, as it has to be")
        return
    _print_result(url, f"is at {_revision_name(current)}, has to be at {HEAD}: `image-gateway migrate`")
    raise typer.Exit(1)


def _revision_name(current: str | None) -> str:
    return current or "no revision"


def _print_result(url: str, result: str) -> None:
    stdout.print(escape(f"The {describe_address(url)} {result}."))
