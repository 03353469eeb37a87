"""Entries as Parquet: typed columns, for programs that read millions of entries.

Rule: money is decimal128(18, 9) in US dollars and a time is a timestamp in UTC. A Parquet file ends with its table of
contents. So it is written into an unnamed file on disk, group by group, and sent from there. Memory has one group. A
thread writes. Needs pyarrow, of the extra `export`.

Fails with: `LedgerUnavailable` of the entries or `OSError` of the disk, before the first byte is sent.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from typing import IO, TYPE_CHECKING, Any

from service.adapters.exports.csv import COLUMNS, to_dollars
from service.domain.ledger import Entry
from service.usecases.ports.exports import ExportFormat

if TYPE_CHECKING:
    import pyarrow as pa

ENTRIES_PER_GROUP = 10_000
CHUNK_BYTES = 1 << 20
MONEY = {"cost_usd": "cost", "saved_usd": "saved"}
MOMENTS = frozenset({"held_at", "posted_at"})
COUNTS = frozenset({"n", "text_in", "image_in", "text_cached", "image_cached", "text_out", "image_out"})


class ParquetFormat(ExportFormat):
    """Entries with every column of the ledger. `group` is the number of entries in memory."""

    media_type = "application/vnd.apache.parquet"
    extension = "parquet"

    def __init__(self, group: int = ENTRIES_PER_GROUP) -> None:
        self._group = group

    async def write(self, entries: AsyncIterator[Entry]) -> AsyncIterator[bytes]:
        """Yield the file in chunks, once it is complete."""
        with tempfile.TemporaryFile() as file:
            await self._write_groups(file, entries)
            file.seek(0)
            while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
                yield chunk

    async def _write_groups(self, file: IO[bytes], entries: AsyncIterator[Entry]) -> None:
        from pyarrow import parquet  # noqa: PLC0415 (slow to load, and most replicas never export)

        with parquet.ParquetWriter(file, schema(), compression="zstd") as writer:
            group: list[Entry] = []
            async for entry in entries:
                group.append(entry)
                if len(group) == self._group:
                    await asyncio.to_thread(_append, writer, group)
                    group.clear()
            if group:
                await asyncio.to_thread(_append, writer, group)


def _append(writer: Any, group: Sequence[Entry]) -> None:  # noqa: ANN401 (a library without types)
    writer.write_table(table(group))


def schema() -> "pa.Schema":
    """Return the columns and their types."""
    import pyarrow as pa  # noqa: PLC0415 (see above)

    def kind(name: str) -> "pa.DataType":
        if name in MONEY:
            return pa.decimal128(18, 9)
        if name in MOMENTS:
            return pa.timestamp("us", tz="UTC")
        if name == "tags":
            return pa.map_(pa.string(), pa.string())
        return pa.int64() if name in COUNTS else pa.string()

    return pa.schema([(name, kind(name)) for name in COLUMNS])


def table(group: Sequence[Entry]) -> "pa.Table":
    """Convert entries to columns."""
    import pyarrow as pa  # noqa: PLC0415 (see above)

    return pa.table({name: [_value(entry, name) for entry in group] for name in COLUMNS}, schema=schema())


def _value(entry: Entry, name: str) -> object:
    if name in MONEY:
        return to_dollars(getattr(entry, MONEY[name]))
    if name == "tags":
        return sorted(entry.tags.items())
    return getattr(entry, name)
