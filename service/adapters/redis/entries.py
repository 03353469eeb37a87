"""Entries as JSON, for as long as they are on their way to the books.

Rule: what was written by an older or a newer replica is read all the same: fields that are not known are passed over,
fields that are not there have their defaults. When an entry was held and posted is said beside it. The version is the
first field; the gateways that did not write one bought everything as `bypass`.
"""

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from service.domain.ledger import ENTRY_VERSION, Entry, source_written
from service.usecases.accounts import Waiting

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Entry)
_BEGIN = b'{"version":%d,' % ENTRY_VERSION


class _Written(msgspec.Struct):
    version: int | None = None


_versions = msgspec.json.Decoder(_Written)


def encoded(entry: Entry) -> bytes:
    """The entry as JSON."""
    return _BEGIN + _encoder.encode(entry)[1:]


def decoded(ticket: bytes, spelled: Sequence[bytes]) -> Waiting:
    """An entry and its times as they come from the stream: names and values in turn."""
    fields = dict(zip(spelled[::2], spelled[1::2], strict=True))
    entry = _decoder.decode(fields[b"entry"])
    known = replace(
        entry,
        cache=source_written(entry.cache, _versions.decode(fields[b"entry"]).version),
        held_at=int(fields[b"held_at"]),
        posted_at=int(fields[b"posted_at"]),
    )
    return Waiting(ticket=ticket.decode(), entry=known)
