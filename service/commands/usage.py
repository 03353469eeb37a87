"""`image-gateway usage`: what was used, as a table with bars, and `usage export`: the ledger as a file.

Rule: numbers are the books' own, to the last digit. A file is complete or not there: it gets its name when its last
byte is written.
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

from service.adapters.exports import formats, missing
from service.adapters.sql.books import SqlBooks
from service.adapters.sql.engine import Database
from service.commands.terminal import (
    ConfigOption,
    DataOption,
    Output,
    OutputOption,
    SinceOption,
    TeamOption,
    UntilOption,
    add_column,
    known_teams,
    out,
    print_rows,
    told,
)
from service.domain.errors import InvalidValue
from service.domain.near import meant
from service.domain.refusals import dollars
from service.domain.spans import moment, parse_groups, parse_span
from service.parts import now
from service.usecases.accounts import GROUPS, Span, UsageRow
from service.usecases.export_usage import ExportUsage
from service.usecases.report_usage import ReportUsage, Usage

usage = typer.Typer(invoke_without_command=True, help="Say what was used, and export the ledger.")

DATA = Path("data")
BAR_WIDTH = 24
FIELDS = ("calls", "images", "cost_usd", "saved_usd", "uncertain_usd")
SUMS = ("calls", "images", "cost", "saved", "uncertain")


@usage.callback()
def report(  # noqa: PLR0913, PLR0917 (a command's options)
    context: typer.Context,
    by: Annotated[str, typer.Option("--by", help="Names such as team,tier,day,tag:project.")] = "team",
    since: SinceOption = None,
    until: UntilOption = None,
    team: TeamOption = None,
    output: OutputOption = Output.TABLE,
    config: ConfigOption = None,
    data_dir: DataOption = DATA,
) -> None:
    """Print what was used; without a span, in this month."""
    if context.invoked_subcommand is not None:
        return

    async def story(database: Database) -> None:
        groups = parse_groups(by, GROUPS, "by")
        span = _span(since, until, team)
        found = await ReportUsage(books=SqlBooks(database))(span, groups)
        if team and not found.total.entries:
            _check_team(team, known_teams(config, data_dir))
        if output is Output.TABLE:
            out.print(f"{moment(span.since):%Y-%m-%d %H:%M} to {moment(span.until):%Y-%m-%d %H:%M} UTC")
        rows = found.rows if found.by else ()
        print_rows((*found.by, *FIELDS), map(_row, rows), output, lambda: drawn(found))

    told(story, data_dir)


@usage.command("export")
def export(  # noqa: PLR0913, PLR0917 (a command's options)
    file_format: Annotated[str, typer.Option("--format", help=f"One of {', '.join(formats())}.")],
    output: Annotated[Path, typer.Option("--output", help="The file; - is standard output.")] = Path("-"),
    since: SinceOption = None,
    until: UntilOption = None,
    team: TeamOption = None,
    config: ConfigOption = None,
    data_dir: DataOption = DATA,
) -> None:
    """Write every entry of a span into a file."""

    async def story(database: Database) -> None:
        span = _span(since, until, team)
        if team and not (await ReportUsage(books=SqlBooks(database))(span, ("team",))).total.entries:
            _check_team(team, known_teams(config, data_dir))
        exporting = ExportUsage(books=SqlBooks(database), formats=formats(), missing=missing())
        made = await exporting(file_format, span)
        await _written(made.chunks, output)

    told(story, data_dir)


def _row(row: UsageRow) -> tuple[object, ...]:
    """Return the values of a row for a program; amounts are exact decimals."""
    amounts = (Decimal(dollars(nano).removeprefix("$")) for nano in (row.cost, row.saved, row.uncertain))
    return (*row.group, row.entries, row.images, *amounts)


def _check_team(team: str, known: Collection[str]) -> None:
    """Raise for a team that neither has used anything nor is in the settings."""
    if team not in known:
        raise InvalidValue(f"There is no such team, and nothing was booked for one.{meant(team, known)}", param="team")


def drawn(found: Usage) -> Table:
    """A table with a bar for the cost of each row. Numbers are never cut off, also where the window is too narrow."""
    most = max((row.cost for row in found.rows), default=0)
    total = ("total", *[""] * (len(found.by) - 1), *_sums(found.total))
    lines = [(*(value or "-" for value in row.group), *_sums(row)) for row in found.rows]
    table = Table(box=None, pad_edge=False)
    for at, name in enumerate((*found.by, *SUMS)):
        add_column(table, name, [line[at] for line in (*lines, total)], right=at >= len(found.by))
    table.add_column("", width=BAR_WIDTH)
    for row, line in zip(found.rows, lines, strict=True):
        table.add_row(*(escape(text) for text in line), Bar(size=most or 1, begin=0, end=row.cost, width=BAR_WIDTH))
    table.add_row(*total, "", style="bold")
    return table


def _sums(row: UsageRow) -> tuple[str, ...]:
    money = (dollars(nano) for nano in (row.cost, row.saved, row.uncertain))
    return f"{row.entries:,}", f"{row.images:,}", *money


def _span(since: str | None, until: str | None, team: str | None) -> Span:
    begin, end = parse_span(since, until, now())
    return Span(since=begin, until=end, team=team)


async def _written(chunks: AsyncIterator[bytes], output: Path) -> None:
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
