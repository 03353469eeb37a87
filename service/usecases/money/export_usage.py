"""Hand out every entry of a span as a file.

Rule: entries go through one by one, so that a month of a busy house fits into the memory of a small one. The first
entry is read before anything is promised: books that are away are an error, not half a file. Raises `InvalidValue` for
a format that is not offered, `LedgerUnavailable`.
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
    """A file on its way."""

    name: str
    media_type: str
    chunks: AsyncIterator[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportUsage:
    """The use case. `formats` are the kinds of files, by the names that callers use; `missing`: what others need."""

    ledger: Ledger
    formats: Mapping[str, ExportFormat]
    missing: Mapping[str, str] = field(default_factory=dict)

    async def __call__(self, format_name: str, entry_filter: EntryFilter) -> UsageExport:
        """The entries of a span in a format."""
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
    """The same entries, the first of them already here."""
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
