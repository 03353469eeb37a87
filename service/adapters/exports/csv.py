"""Entries as CSV (RFC 4180): one line each, money in US dollars with nine decimal places, times in UTC.

Rule: a text that a spreadsheet would take for a formula gets an apostrophe before it (OWASP, CSV injection). Numbers
stay as they are. Memory has the lines of one chunk.

Fails with: `LedgerUnavailable` of the entries, which ends the file after a complete line.
"""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from decimal import Decimal

from service.domain.ledger import Entry
from service.domain.time_ranges import from_micros
from service.usecases.ports.exports import ExportFormat

Value = str | int | Decimal | None
Columns = Mapping[str, Callable[[Entry], Value]]

ENTRIES_PER_CHUNK = 500
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def to_dollars(nano: int) -> Decimal:
    """Convert nano-USD to US dollars, exactly."""
    return Decimal(nano).scaleb(-9)


def format_time(at: int) -> str:
    """Format a time as RFC 3339 with microseconds."""
    return f"{from_micros(at):%Y-%m-%dT%H:%M:%S.%fZ}"


def tags_json(entry: Entry) -> str:
    """Return the tags as a JSON object, always in one order."""
    return json.dumps(dict(entry.tags), sort_keys=True, separators=(",", ":"))


COLUMNS: Columns = {
    "hold_id": lambda entry: entry.hold_id,
    "request_id": lambda entry: entry.request_id,
    "held_at": lambda entry: format_time(entry.held_at),
    "posted_at": lambda entry: format_time(entry.posted_at),
    "team": lambda entry: entry.team,
    "key": lambda entry: entry.key,
    "tags": tags_json,
    "operation": lambda entry: entry.operation,
    "model": lambda entry: entry.model,
    "backend": lambda entry: entry.backend,
    "upstream_model": lambda entry: entry.upstream_model,
    "tier": lambda entry: entry.tier,
    "resolved_tier": lambda entry: entry.resolved_tier,
    "size": lambda entry: entry.size,
    "output_format": lambda entry: entry.output_format,
    "n": lambda entry: entry.n,
    "text_in": lambda entry: entry.text_in,
    "image_in": lambda entry: entry.image_in,
    "text_cached": lambda entry: entry.text_cached,
    "image_cached": lambda entry: entry.image_cached,
    "text_out": lambda entry: entry.text_out,
    "image_out": lambda entry: entry.image_out,
    "cost_usd": lambda entry: to_dollars(entry.cost),
    "saved_usd": lambda entry: to_dollars(entry.saved),
    "basis": lambda entry: entry.basis.value,
    "price_version": lambda entry: entry.price_version,
    "cache": lambda entry: entry.cache,
    "status": lambda entry: entry.status.value,
}


class CsvFormat(ExportFormat):
    """Entries with every column of the ledger."""

    media_type = "text/csv; header=present"
    extension = "csv"

    def write(self, entries: AsyncIterator[Entry]) -> AsyncIterator[bytes]:
        return csv_chunks(entries, COLUMNS)


async def csv_chunks(entries: AsyncIterator[Entry], columns: Columns) -> AsyncIterator[bytes]:
    """Yield a header, then a line for each entry, in chunks."""
    yield _to_csv([tuple(columns)])
    chunk: list[Entry] = []
    async for entry in entries:
        chunk.append(entry)
        if len(chunk) == ENTRIES_PER_CHUNK:
            yield await asyncio.to_thread(_encode_lines, chunk, columns)
            chunk.clear()
    if chunk:
        yield await asyncio.to_thread(_encode_lines, chunk, columns)


def _encode_lines(chunk: Iterable[Entry], columns: Columns) -> bytes:
    """Encode a chunk. Runs in a thread, because a chunk takes some 50 ms, and the loop has callers to answer."""
    return _to_csv([to_cell(column(entry)) for column in columns.values()] for entry in chunk)


def to_cell(value: Value) -> str:
    """Convert a value to its text in the file; None is empty."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return f"'{value}"
    return "" if value is None else str(value)


def _to_csv(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()
