"""Server-sent events, however a vendor's reply is cut into pieces."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.adapters.backends.sse_reader import SseReader


def fed(*pieces: bytes) -> list[bytearray]:
    events = SseReader()
    return [event for piece in pieces for event in events.feed(piece)]


@pytest.mark.parametrize(
    ("reply", "data"),
    [
        (b"data: one\n\n", [b"one"]),
        (b"data:one\n\n", [b"one"]),
        (b"data:  one\n\n", [b" one"]),
        (b"event: a\nid: 1\nretry: 5\ndata: one\n\ndata: two\n\n", [b"one", b"two"]),
        (b"data: one\r\n\r\ndata: two\r\n\r\n", [b"one", b"two"]),
        (b"data: one\ndata: more\n\n", [b"one\nmore"]),
        (b": a comment\n\n: another\n\ndata: one\n\n", [b"one"]),
        (b"event: nothing\n\n", []),
        (b"data: never ended\n", []),
        (b"data\n\ndatum: x\n\n", []),
        (b"\n\n\n", []),
        (b"data:\n\n", [b""]),
    ],
)
def test_events_are_cut_out(reply: bytes, data: list[bytes]) -> None:
    assert fed(reply) == data


REPLY = b'event: a\r\ndata: {"one": 1}\r\n\r\n: ping\n\nevent: b\ndata: two\ndata: three\n\ndata: lost'


@given(cuts=st.lists(st.integers(0, len(REPLY)), max_size=20))
def test_pieces_do_not_matter(cuts: list[int]) -> None:
    ends = [0, *sorted(cuts), len(REPLY)]
    pieces = [REPLY[start:end] for start, end in itertools.pairwise(ends)]
    assert fed(*pieces) == [b'{"one": 1}', b"two\nthree"]


def test_what_waits_is_counted() -> None:
    events = SseReader()
    assert list(events.feed(b"data: one\ndata: tw")) == []
    assert events.buffered_bytes == len(b"one") + len(b"data: tw")
    assert list(events.feed(b"o\n\n")) == [b"one\ntwo"]
    assert events.buffered_bytes == 0
