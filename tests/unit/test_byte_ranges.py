"""Byte ranges and entity tags of HTTP requests."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.byte_ranges import ByteRange, matches_etag, parse_range
from service.domain.errors import RangeNotSatisfiable


@pytest.mark.parametrize(
    ("header", "part"),
    [
        ("bytes=0-0", ByteRange(0, 1)),
        ("bytes=0-9", ByteRange(0, 10)),
        ("bytes=2-4", ByteRange(2, 5)),
        ("bytes=2-", ByteRange(2, 10)),
        ("bytes=9-100", ByteRange(9, 10)),
        ("bytes=-3", ByteRange(7, 10)),
        ("bytes=-100", ByteRange(0, 10)),
        ("Bytes= 1-2 ", ByteRange(1, 3)),
    ],
)
def test_a_part_is_read(header: str, part: ByteRange) -> None:
    assert parse_range(header, 10) == part


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=1-2,4-5",
        "bytes=--1",
        "lines=1-2",
        "bytes=5-2",
        "1-2",
    ],
)
def test_what_is_not_one_range_is_the_whole(header: str | None) -> None:
    assert parse_range(header, 10) is None


@pytest.mark.parametrize(
    ("header", "length"), [("bytes=10-", 10), ("bytes=10-20", 10), ("bytes=-0", 10), ("bytes=0-", 0)]
)
def test_a_range_behind_the_end_is_refused(header: str, length: int) -> None:
    with pytest.raises(RangeNotSatisfiable, match=f"has {length} bytes"):
        parse_range(header, length)


@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 20))
def test_a_part_lies_within_the_whole(first: int, last: int, length: int) -> None:
    try:
        part = parse_range(f"bytes={first}-{last}", length)
    except RangeNotSatisfiable:
        assert first >= length
        return
    whole = range(length)
    assert (
        part is None if last < first else part and list(whole[part.start : part.end]) == list(whole[first : last + 1])
    )
    assert part is None or part.length == part.end - part.start > 0


@pytest.mark.parametrize(
    ("header", "known"),
    [
        (None, False),
        ("", False),
        ('"a"', True),
        ('W/"a"', True),
        ('"b", "a"', True),
        ("*", True),
        ('"b"', False),
        ("a", False),
    ],
)
def test_a_copy_is_known_by_its_tag(header: str | None, known: bool) -> None:
    assert matches_etag(header, '"a"') is known
