"""Entries as JSON, for as long as they are on their way to the books.

Rule: what was written by an older or a newer replica is read all the same: fields that are not known are passed over,
fields that are not there have their defaults. When an entry was held and posted is said beside it. The version is the
first field; the gateways that did not write one bought everything as `bypass`.
"""

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from service.domain.ledger import ENTRY_VERSION, Entry, to_cache_status
from service.usecases.ports.quota_store import OutboxEntry

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Entry)
_BEGIN = b'{"version":%d,' % ENTRY_VERSION


class _VersionField(msgspec.Struct):
    version: int | None = None


_version_decoder = msgspec.json.Decoder(_VersionField)


def encode_entry(entry: Entry) -> bytes:
    """The entry as JSON."""
    return _BEGIN + _encoder.encode(entry)[1:]


def decode_entry(outbox_id: bytes, pairs: Sequence[bytes]) -> OutboxEntry:
    """An entry and its times as they come from the stream: names and values in turn."""
    fields = dict(zip(pairs[::2], pairs[1::2], strict=True))
    entry = _decoder.decode(fields[b"entry"])
    known = replace(
        entry,
        cache=to_cache_status(entry.cache, _version_decoder.decode(fields[b"entry"]).version),
        held_at=int(fields[b"held_at"]),
        posted_at=int(fields[b"posted_at"]),
    )
    return OutboxEntry(outbox_id=outbox_id.decode(), entry=known)
