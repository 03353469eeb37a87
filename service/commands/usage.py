"""`image-gateway usage`: usage as a table with bars, and `usage export`: the ledger as a file.

Rule: numbers are those of the ledger, to the last digit. An exported file is complete or missing, because it gets its
name after its last byte.

Fails with: one line on standard error and exit code 2.
"""

import sys
from collections.abc import AsyncIterator, Collection
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer
from rich.bar import Bar
from rich.markup import escape
from rich.table import Table

from service.adapters.exports import available_formats, missing_formats
from service.adapters.sql.database import Database
from service.adapters.sql.ledger import SqlLedger
from service.commands.common import (
    ConfigOption,
    DataOption,
    Output,
    OutputOption,
    SinceOption,
    TeamOption,
    UntilOption,
    add_column,
    print_rows,
    read_config_teams,
    run_on_ledger,
    stdout,
)
from service.composition.app_config import now
from service.domain.did_you_mean import did_you_mean
from service.domain.errors import InvalidValue
from service.domain.limit_errors import format_dollars
from service.domain.time_ranges import from_micros, parse_groups, parse_time_bounds
from service.usecases.money.export_usage import ExportUsage
from service.usecases.money.report_usage import ReportUsage, UsageReport
from service.usecases.ports.ledger import GROUPS, EntryFilter, UsageRow

usage = typer.Typer(invoke_without_command=True, help="Print usage, and export the ledger.")

DATA = Path("data")
BAR_WIDTH = 24
FIELDS = ("calls", "images", "cost_usd", "saved_usd", "uncertain_usd")
SUMS = ("calls", "images", "cost", "saved", "uncertain")


@usage.callback()
def report(  # noqa: PLR0913, PLR0917 (a command's options)
    context: typer.Context,
    by: Annotated[str, typer.Option("--by", help="Groups, such as team,tier,day,tag:project.")] = "team",
    since: SinceOption = None,
    until: UntilOption = None,
    team: TeamOption = None,
    output: OutputOption = Output.TABLE,
    config: ConfigOption = None,
    data_dir: DataOption = DATA,
) -> None:
    """Print usage; by default that of this month."""
    if context.invoked_subcommand is not None:
        return

    async def run(database: Database) -> None:
        groups = parse_groups(by, GROUPS, "by")
        span = _parse_range(since, until, team)
        usage = await ReportUsage(ledger=SqlLedger(database)).report(span, groups)
        if team and not usage.total.entries:
            _check_team(team, read_config_teams(config, data_dir))
        if output is Output.TABLE:
            stdout.print(f"{from_micros(span.since):%Y-%m-%d %H:%M} to {from_micros(span.until):%Y-%m-%d %H:%M} UTC")
        rows = usage.rows if usage.group_by else ()
        print_rows((*usage.group_by, *FIELDS), map(_program_row, rows), output, lambda: usage_table(usage))

    run_on_ledger(run, data_dir)


@usage.command("export")
def export(  # noqa: PLR0913, PLR0917 (a command's options)
    file_format: Annotated[str, typer.Option("--format", help=f"One of {', '.join(available_formats())}.")],
    output: Annotated[Path, typer.Option("--output", help="File to write; - is standard output.")] = Path("-"),
    since: SinceOption = None,
    until: UntilOption = None,
    team: TeamOption = None,
    config: ConfigOption = None,
    data_dir: DataOption = DATA,
) -> None:
    """Write every entry of a time range into a file."""

    async def run(database: Database) -> None:
        span = _parse_range(since, until, team)
        if team and not (await ReportUsage(ledger=SqlLedger(database)).report(span, ("team",))).total.entries:
            _check_team(team, read_config_teams(config, data_dir))
        exporting = ExportUsage(ledger=SqlLedger(database), formats=available_formats(), missing=missing_formats())
        exported = await exporting.export(file_format, span)
        await _write_file(exported.chunks, output)

    run_on_ledger(run, data_dir)


def _program_row(row: UsageRow) -> tuple[object, ...]:
    """Return the values of a row for a program; amounts are exact decimals."""
    amounts = (Decimal(format_dollars(nano).removeprefix("$")) for nano in (row.cost, row.saved, row.uncertain))
    return (*row.group, row.entries, row.images, *amounts)


def _check_team(team: str, known: Collection[str]) -> None:
    """Raise for a team that has no usage and is not in the settings."""
    if team not in known:
        raise InvalidValue(
            f"There is no such team, and nothing was booked for one.{did_you_mean(team, known)}", param="team"
        )


def usage_table(usage: UsageReport) -> Table:
    """Build a table with a bar for the cost of each row. Narrow windows cut off no numbers."""
    max_cost = max((row.cost for row in usage.rows), default=0)
    total = ("total", *[""] * (len(usage.group_by) - 1), *_cells(usage.total))
    lines = [(*(value or "-" for value in row.group), *_cells(row)) for row in usage.rows]
    table = Table(box=None, pad_edge=False)
    for at, name in enumerate((*usage.group_by, *SUMS)):
        add_column(table, name, [line[at] for line in (*lines, total)], right=at >= len(usage.group_by))
    table.add_column("", width=BAR_WIDTH)
    for row, line in zip(usage.rows, lines, strict=True):
        table.add_row(*(escape(text) for text in line), Bar(size=max_cost or 1, begin=0, end=row.cost, width=BAR_WIDTH))
    table.add_row(*total, "", style="bold")
    return table


def _cells(row: UsageRow) -> tuple[str, ...]:
    money = (format_dollars(nano) for nano in (row.cost, row.saved, row.uncertain))
    return f"{row.entries:,}", f"{row.images:,}", *money


def _parse_range(since: str | None, until: str | None, team: str | None) -> EntryFilter:
    begin, end = parse_time_bounds(since, until, now())
    return EntryFilter(since=begin, until=end, team=team)


async def _write_file(chunks: AsyncIterator[bytes], output: Path) -> None:
    if output == Path("-"):
        async for chunk in chunks:
            sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
        return
    growing = output.with_name(f".{output.name}.part")
    try:
        with growing.open("wb") as file:
            async for chunk in chunks:
                file.write(chunk)
        growing.replace(output)
    except OSError as refused:
        raise InvalidValue(f"{output} cannot be written: {refused.strerror}.", param="output") from None
    finally:
        growing.unlink(missing_ok=True)
