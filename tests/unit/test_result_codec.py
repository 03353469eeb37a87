"""The bytes of results and failures in Redis: damaged ones, and those that a gateway of 852ba53 wrote."""

import struct
from typing import Any

import msgspec
import pybase64
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.adapters.redis.result_codec import (
    HEAD_BYTES,
    MAGIC,
    decode_result,
    encode_result,
    parse_model,
    with_checksum,
)
from service.domain.errors import Failure, FailureKind
from service.domain.generation import GeneratedImage, Generation, Usage
from service.domain.image_spec import Size
from tests.support.profiles import examples
from tests.support.result_stores import build_generation, build_image, build_result

KEY = "igw:result:search:r1"
RESULT = build_result(
    generation=build_generation(images=(build_image(b"fox" * 100, "a fox"), build_image(b"owl" * 100)))
)

RESULT_OF_852BA53 = (
    b"igr\x03\x10'\xa0\x9f\xae\xdf\x1e8\x00\x07\x00\x00\x00\xcbpainter\xdc\x00\x11\xa5alpha\xadalpha/painter"
    b"\xafcent@2026-01-01\xcek\x01\x87\xc0\xce\x01\xc9\xc3\x80\xcek\x01\x87\xc5\x92\xa5img_1\xa5img_2\xc3\xa5req_1"
    b"\x92\x92\x03\xa5a fox\x92\x03\xc0\xcek\x01\x87\xbf\x82\xa5width\xcd\x04\x00\xa6height\xcd\x06\x00\xa4high"
    b"\xa6opaque\xa3png\x86\xa7text_in\x0b\xa8image_in\x0c\xa9image_out\r\xa8text_out\x0e\xabtext_cached\x05"
    b"\xacimage_cached\x06\x81\xa5steps\x04foxowl"
)
FAILURE_OF_852BA53 = (
    b'{"kind":"moderation_blocked","message":"Refused.","code":"moderation_blocked","param":"prompt",'
    b'"retry_after":1.5,"moderation_details":{"stage":"input"},"drawn":true,"asked":false}'
)
SAME_RESULT = build_result(
    model="painter",
    backend="alpha",
    upstream_model="alpha/painter",
    price_version="cent@2026-01-01",
    created=1_795_262_400,
    cost=30_000_000,
    stored_at=1_795_262_405,
    generation=build_generation(
        images=(build_image(b"fox", "a fox"), build_image(b"owl")),
        created=1_795_262_399,
        size=Size(1024, 1536),
        tier="high",
        background="opaque",
        output_format="png",
        usage=Usage(text_in=11, image_in=12, image_out=13, text_out=14, text_cached=5, image_cached=6),
        svg_usage={"steps": 4},
    ),
)
SAME_FAILURE = Failure(
    kind=FailureKind.MODERATION_BLOCKED,
    message="Refused.",
    code="moderation_blocked",
    param="prompt",
    retry_after=1.5,
    moderation_details={"stage": "input"},
    drawn=True,
    asked=False,
)
ADDED_SINCE_852BA53 = {"other_in"}


def encoded_result() -> bytes:
    """A good one."""
    encoded_bytes = encode_result(RESULT, KEY)
    assert encoded_bytes
    return encoded_bytes


def test_one_that_is_whole_is_read() -> None:
    assert decode_result(encoded_result(), KEY) == RESULT


def test_every_byte_counts() -> None:
    for place in range(len(encoded_result())):
        for flip in (1, 0x80, 0xFF):
            spoilt = bytearray(encoded_result())
            spoilt[place] ^= flip
            assert decode_result(bytes(spoilt), KEY) is None


def test_every_truncation_is_a_miss() -> None:
    whole = encoded_result()
    for length in range(len(whole)):
        assert decode_result(whole[:length], KEY) is None
        assert decode_result(whole[len(whole) - length :], KEY) is None


@settings(max_examples=examples(300))
@given(start=st.integers(0, 500), cut=st.integers(0, 50), put=st.binary(max_size=50))
def test_whatever_is_written_into_it_is_a_miss_or_the_same(start: int, cut: int, put: bytes) -> None:
    spoilt = encoded_result()[:start] + put + encoded_result()[start + cut :]
    assert decode_result(spoilt, KEY) == (RESULT if spoilt == encoded_result() else None)


@given(st.binary(max_size=300))
def test_anything_else_is_a_miss(junk: bytes) -> None:
    assert decode_result(junk, KEY) is None
    assert decode_result(MAGIC + junk, KEY) is None


@pytest.mark.parametrize("key", ["igw:result:search:r2", "igw:result:ads:r1", ""])
def test_under_another_key_it_is_a_miss(key: str) -> None:
    assert decode_result(encoded_result(), key) is None


@pytest.mark.parametrize(
    "inside",
    [
        b"",
        b"\x00\x00\x00\x00\x00",
        b"\x00\x00\x00\x00\x00\x00",
        b"\x00\x01\x00\x00\x00\x01\xff\x90",
        b"\xff\xff\xff\xff\xff\xffpainter",
        b"\x00\x00\x00\x00\x00\x05" + msgspec.msgpack.encode(["a", "b", 1]),
    ],
)
def test_one_that_is_sealed_well_and_makes_no_sense_is_a_miss(inside: bytes) -> None:
    assert decode_result(with_checksum(KEY, inside), KEY) is None


def test_pictures_that_are_longer_or_shorter_than_they_should_be_are_a_miss() -> None:
    inside = encoded_result()[12:]
    assert decode_result(with_checksum(KEY, inside), KEY) == RESULT
    for other in (inside[:-1], inside + b"x"):
        assert decode_result(with_checksum(KEY, other), KEY) is None


def test_its_beginning_says_of_which_model_it_is() -> None:
    assert parse_model(encoded_result()[:HEAD_BYTES]) == RESULT.model
    for other in (None, b"", b"igr", b"x" * HEAD_BYTES, encoded_result()[1:]):
        assert parse_model(other) is None


@pytest.mark.parametrize(
    "unspeakable",
    [
        build_result(model="x" * 70_000),
        build_result(model="\ud800"),
        build_result(cost=2**70),
        build_result(generation=build_generation(svg_usage={"set": object()})),
        build_result(generation=build_generation(svg_usage={"huge": 2**70})),
        build_result(generation=Generation(images=(GeneratedImage(base64=b"no base64"),))),
    ],
)
def test_what_cannot_be_spelled_is_not_packed(unspeakable: object) -> None:
    assert encode_result(unspeakable, KEY) is None  # type: ignore[arg-type] # (a list of them is of objects)


def test_pictures_come_out_as_bytes_of_canonical_base64() -> None:
    loose = pybase64.b64encode(b"fo")[:-2] + b"9="  # the last digit has bits that say nothing
    encoded_bytes = encode_result(build_result(generation=Generation(images=(GeneratedImage(base64=loose),))), KEY)
    assert encoded_bytes
    decoded = decode_result(encoded_bytes, KEY)
    assert decoded
    assert decoded.generation.images[0].base64 == pybase64.b64encode(b"fo")


def test_a_result_of_an_older_gateway_is_read() -> None:
    assert decode_result(RESULT_OF_852BA53, KEY) == SAME_RESULT


def test_an_older_gateway_reads_a_result_by_places_and_names() -> None:
    """Its decoder passes over names that it does not know; an item more or fewer, or a name less, is not read."""
    older, today = metadata(RESULT_OF_852BA53), metadata(encode_result(SAME_RESULT, KEY))
    assert len(today) == len(older)
    for was, now in zip(older, today, strict=True):
        assert now == was or {name: now[name] for name in now.keys() - ADDED_SINCE_852BA53} == was


def metadata(encoded: bytes | None) -> list[Any]:
    """Decode what stands between the model and the images, with no knowledge of its fields."""
    assert encoded
    assert encoded[:4] == RESULT_OF_852BA53[:4]
    model_length, length = struct.unpack_from(">HI", encoded, 12)
    items: list[Any] = msgspec.msgpack.decode(encoded[18 + model_length :][:length])
    return items


def test_failures_have_the_names_of_older_gateways() -> None:
    assert msgspec.json.decode(FAILURE_OF_852BA53, type=Failure) == SAME_FAILURE
    assert msgspec.json.encode(SAME_FAILURE).startswith(FAILURE_OF_852BA53[:-1])
