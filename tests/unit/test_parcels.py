"""Parcels that were harmed on their way."""

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
from service.domain.generation import GeneratedImage, Generation
from tests.support.keeping import picture, purchase, result
from tests.support.profiles import examples

KEY = "igw:result:search:r1"
KEPT = result(generation=purchase(images=(picture(b"fox" * 100, "a fox"), picture(b"owl" * 100))))


def parcel() -> bytes:
    """A good one."""
    spelled = encode_result(KEPT, KEY)
    assert spelled
    return spelled


def test_one_that_is_whole_is_read() -> None:
    assert decode_result(parcel(), KEY) == KEPT


def test_every_byte_counts() -> None:
    for place in range(len(parcel())):
        for flip in (1, 0x80, 0xFF):
            spoilt = bytearray(parcel())
            spoilt[place] ^= flip
            assert decode_result(bytes(spoilt), KEY) is None


def test_every_truncation_is_a_miss() -> None:
    whole = parcel()
    for length in range(len(whole)):
        assert decode_result(whole[:length], KEY) is None
        assert decode_result(whole[len(whole) - length :], KEY) is None


@settings(max_examples=examples(300))
@given(start=st.integers(0, 500), cut=st.integers(0, 50), put=st.binary(max_size=50))
def test_whatever_is_written_into_it_is_a_miss_or_the_same(start: int, cut: int, put: bytes) -> None:
    spoilt = parcel()[:start] + put + parcel()[start + cut :]
    assert decode_result(spoilt, KEY) == (KEPT if spoilt == parcel() else None)


@given(st.binary(max_size=300))
def test_anything_else_is_a_miss(junk: bytes) -> None:
    assert decode_result(junk, KEY) is None
    assert decode_result(MAGIC + junk, KEY) is None


@pytest.mark.parametrize("key", ["igw:result:search:r2", "igw:result:ads:r1", ""])
def test_under_another_key_it_is_a_miss(key: str) -> None:
    assert decode_result(parcel(), key) is None


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
    inside = parcel()[12:]
    assert decode_result(with_checksum(KEY, inside), KEY) == KEPT
    for other in (inside[:-1], inside + b"x"):
        assert decode_result(with_checksum(KEY, other), KEY) is None


def test_its_beginning_says_of_which_model_it_is() -> None:
    assert parse_model(parcel()[:HEAD_BYTES]) == KEPT.model
    for other in (None, b"", b"igr", b"x" * HEAD_BYTES, parcel()[1:]):
        assert parse_model(other) is None


@pytest.mark.parametrize(
    "unspeakable",
    [
        result(model="x" * 70_000),
        result(model="\ud800"),
        result(cost=2**70),
        result(generation=purchase(svg_usage={"set": object()})),
        result(generation=purchase(svg_usage={"huge": 2**70})),
        result(generation=Generation(images=(GeneratedImage(base64=b"no base64"),))),
    ],
)
def test_what_cannot_be_spelled_is_not_packed(unspeakable: object) -> None:
    assert encode_result(unspeakable, KEY) is None  # type: ignore[arg-type] # (a list of them is of objects)


def test_pictures_come_out_as_bytes_of_canonical_base64() -> None:
    loose = pybase64.b64encode(b"fo")[:-2] + b"9="  # the last digit has bits that say nothing
    spelled = encode_result(result(generation=Generation(images=(GeneratedImage(base64=loose),))), KEY)
    assert spelled
    found = decode_result(spelled, KEY)
    assert found
    assert found.generation.images[0].base64 == pybase64.b64encode(b"fo")
