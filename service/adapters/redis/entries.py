"""Entries as JSON, for as long as they are on their way to the books.

Rule: what was written by an older or a newer replica is read all the same: fields that are not known are passed over,
fields that are not there have their defaults. When an entry was held and posted is said beside it.
"""

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from service.domain.ledger import Entry
from service.usecases.accounts import Waiting

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Entry)


def encoded(entry: Entry) -> bytes:
    """The entry as JSON."""
    return _encoder.encode(entry)


def decoded(ticket: bytes, spelled: Sequence[bytes]) -> Waiting:
    """An entry and its times as they come from the stream: names and values in turn."""
    fields = dict(zip(spelled[::2], spelled[1::2], strict=True))
    entry = _decoder.decode(fields[b"entry"])
    times = replace(entry, held_at=int(fields[b"held_at"]), posted_at=int(fields[b"posted_at"]))
    return Waiting(ticket=ticket.decode(), entry=times)
