"""Pictures are taken out of a reply before its JSON is read, and nothing else is."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.adapters.backends.dialect import split_images

LONG = "A" * 100_000


class Item(msgspec.Struct):
    b64_json: msgspec.Raw = msgspec.Raw(b"null")
    note: str | None = None


class Reply(msgspec.Struct):
    data: list[Item]


def read(body: bytes) -> list[tuple[bytes | None, str | None]]:
    text = split_images(bytearray(body))
    read_items = msgspec.json.decode(text.json, type=Reply).data
    return [
        (None if (base64 := text.base64_for(item.b64_json)) is None else bytes(base64), item.note)
        for item in read_items
    ]


@pytest.mark.parametrize("spaces", ["", " ", "\n\t "])
def test_pictures_come_back_where_they_were(spaces: str) -> None:
    key = f'"b64_json"{spaces}:{spaces}'
    items = (f'{key}"{LONG}","note":"{LONG}"', '"note":"b64_json"', f'{key}""', f"{key}null", f'{key}"QQ=="')
    body = f'{{"data":[{",".join(f"{{{item}}}" for item in items)}]}}'
    assert read(body.encode()) == [
        (LONG.encode(), LONG),
        (None, "b64_json"),
        (None, None),
        (None, None),
        (b"QQ==", None),
    ]


def test_nothing_of_a_picture_is_copied_or_walked_through() -> None:
    body = bytearray(b'{"data":[{"b64_json":"%s"}]}' % LONG.encode())
    text = split_images(body)
    assert len(text.json) < 100
    assert text.images[0].obj is body


@pytest.mark.parametrize(
    ("token", "base64"),
    [
        (rb"AB\/C", b"AB/C"),
        (rb"AB\u0041", b"ABA"),
        (rb"AB\n\/C", b"AB/C"),
        (rb"AB\u00c4", None),
        (rb"AB\"C", None),
        ("ABÄ".encode(), None),
        (rb"\\0", None),
        (b"", None),
    ],
)
def test_what_is_spelled_otherwise_is_read_as_it_is_spelled(token: bytes, base64: bytes | None) -> None:
    assert read(b'{"data":[{"b64_json":"%s"},{"b64_json":"QQ==","note":"a \\"fox\\""}]}' % token) == [
        (base64, None),
        (b"QQ==", 'a "fox"'),
    ]


@pytest.mark.parametrize(
    "body", [b'{"data":[{"b64_json":"never ended', b'{"data":["b64_json":"AA"]}', b'"b64_json":"A']
)
def test_what_is_no_json_stays_none(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(split_images(body).json, type=Reply)


WORDS = st.text('ab64_json:"\\/ QÄ{}[],', max_size=12)


@given(st.lists(st.tuples(st.none() | st.text("AQ/+=", max_size=6), st.none() | WORDS), max_size=5), st.booleans())
def test_no_word_is_taken_for_a_picture(items: list[tuple[str | None, str | None]], ascii_only: bool) -> None:
    body = json.dumps({"data": [{"b64_json": base64, "note": note} for base64, note in items]}, ensure_ascii=ascii_only)
    assert read(body.encode()) == [(base64.encode() if base64 else None, note) for base64, note in items]
