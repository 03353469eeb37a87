"""Hand out every entry of a span as a file.

Rule: entries go through one by one, so that a month of a busy house fits into the memory of a small one. The first
entry is read before anything is promised: books that are away are an error, not half a file. Raises `InvalidValue` for
a format that is not offered, `BooksUnavailable`.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from service.domain.errors import InvalidValue
from service.domain.ledger import Entry
from service.domain.spans import SHOWN, moment
from service.usecases.accounts import Books, Span


class Format(Protocol):
    """A kind of file. Entries go in, bytes come out; the first bytes may come after the last entry."""

    media_type: str
    ending: str

    def write(self, entries: AsyncIterator[Entry]) -> AsyncIterator[bytes]:
        """The file, piece by piece."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """A file on its way."""

    name: str
    media_type: str
    chunks: AsyncIterator[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportUsage:
    """The use case. `formats` are the kinds of files, by the names that callers use; `missing`: what others need."""

    books: Books
    formats: Mapping[str, Format]
    missing: Mapping[str, str] = field(default_factory=dict)

    async def __call__(self, format_name: str, span: Span) -> Export:
        """The entries of a span in a format."""
        chosen = self.formats.get(format_name)
        if chosen is None:
            offered = ", ".join(sorted(self.formats))
            needed = f" To have it, {self.missing[format_name]}." if format_name in self.missing else ""
            message = f"'{format_name[:SHOWN]}' is not offered here; offered are {offered}.{needed}"
            raise InvalidValue(message, param="format")
        entries = await _begun(self.books.entries(span))
        return Export(
            name=f"{_stem(format_name, span)}.{chosen.ending}",
            media_type=chosen.media_type,
            chunks=chosen.write(entries),
        )


async def _begun(entries: AsyncIterator[Entry]) -> AsyncIterator[Entry]:
    """The same entries, the first of them already here."""
    first = await anext(entries, None)
    return _following(first, entries)


async def _following(first: Entry | None, entries: AsyncIterator[Entry]) -> AsyncIterator[Entry]:
    if first is None:
        return
    yield first
    async for entry in entries:
        yield entry


def _stem(format_name: str, span: Span) -> str:
    whose = f"-{span.team}" if span.team else ""
    kind = "usage" if format_name != "focus" else "focus"
    return f"{kind}{whose}-{moment(span.since):%Y%m%dT%H%M%SZ}-{moment(span.until):%Y%m%dT%H%M%SZ}"
