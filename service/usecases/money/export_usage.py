"""Export of every entry of a time range as a file.

Rule: entries pass one by one, so that a month of a busy site fits into little memory. The first entry is read before
the response begins, so that a ledger that does not answer is an error and not half a file.

Fails with: `InvalidValue` for an unknown format; `LedgerUnavailable`.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from service.domain.errors import InvalidValue
from service.domain.ledger import Entry
from service.domain.time_ranges import MAX_SHOWN, from_micros
from service.usecases.ports.exports import ExportFormat
from service.usecases.ports.ledger import EntryFilter, Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageExport:
    """A file whose chunks are read while it is sent."""

    name: str
    media_type: str
    chunks: AsyncIterator[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportUsage:
    """The use case.

    Attributes:
        formats: File formats by the callers' names.
        missing: By name of an unavailable format, the step that makes it available.
    """

    ledger: Ledger
    formats: Mapping[str, ExportFormat]
    missing: Mapping[str, str] = field(default_factory=dict)

    async def export(self, format_name: str, entry_filter: EntryFilter) -> UsageExport:
        """Export the entries of a filter in a format."""
        chosen = self.formats.get(format_name)
        if chosen is None:
            offered = ", ".join(sorted(self.formats))
            needed = f" To have it, {self.missing[format_name]}." if format_name in self.missing else ""
            message = f"'{format_name[:MAX_SHOWN]}' is not offered here; offered are {offered}.{needed}"
            raise InvalidValue(message, param="format")
        entries = await _prefetch_first(self.ledger.entries(entry_filter))
        return UsageExport(
            name=f"{_file_stem(format_name, entry_filter)}.{chosen.extension}",
            media_type=chosen.media_type,
            chunks=chosen.write(entries),
        )


async def _prefetch_first(entries: AsyncIterator[Entry]) -> AsyncIterator[Entry]:
    """Read the first entry now, and return an iterator over all entries."""
    first = await anext(entries, None)
    return _chain_entries(first, entries)


async def _chain_entries(first: Entry | None, entries: AsyncIterator[Entry]) -> AsyncIterator[Entry]:
    if first is None:
        return
    yield first
    async for entry in entries:
        yield entry


def _file_stem(format_name: str, entry_filter: EntryFilter) -> str:
    team_part = f"-{entry_filter.team}" if entry_filter.team else ""
    kind = "usage" if format_name != "focus" else "focus"
    since, until = from_micros(entry_filter.since), from_micros(entry_filter.until)
    return f"{kind}{team_part}-{since:%Y%m%dT%H%M%SZ}-{until:%Y%m%dT%H%M%SZ}"
