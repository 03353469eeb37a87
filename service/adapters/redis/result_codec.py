"""Results as they lie in Redis: one string each, with the pictures as raw bytes.

    magic and version (4) | xxh3-64 (8) | length of model (2) | length of sheet (4) | model | sheet | pictures

Rule: what comes out is what went in, or nothing. The checksum covers all that follows it and the key under which the
parcel lies, so that one which was cut off, altered, written by another version or put under another key is None. The
sheet is everything but model and pictures, in MessagePack; the model stands where the first `HEAD_BYTES` show it. A
result that cannot be spelled (a picture that is not base64) is not packed.
"""

import struct
from typing import Any

import msgspec
import pybase64
from xxhash import xxh3_64

from service.domain.generation import Buffer, GeneratedImage, Generation, Usage
from service.domain.image_spec import Size
from service.usecases.ports.result_store import Result

MAGIC = b"igr\x03"
HEAD_BYTES = 512

_FRAME = struct.Struct(">4s8sHI")
_CHECKED_OFFSET = 12  # where that begins which the checksum covers
_LENGTHS = struct.Struct(">HI")


class _Metadata(msgspec.Struct, array_like=True, kw_only=True):
    backend: str
    upstream_model: str
    price_version: str
    created: int
    cost: int
    kept_at: int
    ids: tuple[str, ...]
    stored: bool
    request_id: str
    pictures: list[tuple[int, str | None]]  # length and revised prompt
    vendor_created: int | None
    size: Size | None
    tier: str | None
    background: str | None
    output_format: str | None
    usage: Usage | None
    svg_usage: dict[str, Any] | None


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Metadata)


def encode_result(result: Result, key: str) -> bytes | None:
    """The parcel that lies under `key`."""
    try:
        bodies = [pybase64.b64decode(picture.base64, validate=True) for picture in result.purchase.pictures]
        model, sheet = result.model.encode(), _encoder.encode(_to_metadata(result, bodies))
        front = b"".join((_LENGTHS.pack(len(model), len(sheet)), model, sheet))
    except (ValueError, TypeError, OverflowError, struct.error):
        return None
    return with_checksum(key, front, *bodies)


def with_checksum(key: str, *parts: bytes) -> bytes:
    """Parts behind magic, version and checksum."""
    return b"".join((MAGIC, _checksum(key, *parts), *parts))


def _checksum(key: str, *parts: Buffer) -> bytes:
    checksum = xxh3_64(key.encode())
    for part in parts:
        checksum.update(part)
    return checksum.digest()


def decode_result(parcel: bytes, key: str) -> Result | None:
    """What was packed, if every byte of it is here and right."""
    view = memoryview(parcel)
    if len(view) < _FRAME.size:
        return None
    magic, checksum, of_model, of_sheet = _FRAME.unpack_from(view)
    if magic != MAGIC or checksum != _checksum(key, view[_CHECKED_OFFSET:]):
        return None
    sheet_at, bodies_at = _FRAME.size + of_model, _FRAME.size + of_model + of_sheet
    try:
        model, sheet = str(view[_FRAME.size : sheet_at], "utf-8"), _decoder.decode(view[sheet_at:bodies_at])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    bodies = view[bodies_at:]
    if sum(length for length, _ in sheet.pictures) != len(bodies):
        return None
    return _to_result(model, sheet, bodies)


def parse_model(head: object) -> str | None:
    """Which model a parcel is of, by its first `HEAD_BYTES`; None if that is not a parcel of this version."""
    if not isinstance(head, bytes) or len(head) < _FRAME.size or head[: len(MAGIC)] != MAGIC:
        return None
    of_model = _FRAME.unpack_from(head)[2]
    return head[_FRAME.size : _FRAME.size + of_model].decode(errors="replace")


def _to_metadata(result: Result, bodies: list[bytes]) -> _Metadata:
    bought = result.purchase
    prompts = (picture.revised_prompt for picture in bought.pictures)
    return _Metadata(
        backend=result.backend,
        upstream_model=result.upstream_model,
        price_version=result.price_version,
        created=result.created,
        cost=result.cost,
        kept_at=result.kept_at,
        ids=result.ids,
        stored=result.stored,
        request_id=result.request_id,
        pictures=[*zip(map(len, bodies), prompts, strict=True)],
        vendor_created=bought.created,
        size=bought.size,
        tier=bought.tier,
        background=bought.background,
        output_format=bought.output_format,
        usage=bought.usage,
        svg_usage=None if bought.svg_usage is None else dict(bought.svg_usage),
    )


def _to_result(model: str, sheet: _Metadata, bodies: memoryview) -> Result:
    pictures, start = [], 0
    for length, prompt in sheet.pictures:
        base64 = pybase64.b64encode(bodies[start : start + length])
        pictures.append(GeneratedImage(base64=base64, revised_prompt=prompt))
        start += length
    purchase = Generation(
        pictures=tuple(pictures),
        created=sheet.vendor_created,
        size=sheet.size,
        tier=sheet.tier,
        background=sheet.background,
        output_format=sheet.output_format,
        usage=sheet.usage,
        svg_usage=sheet.svg_usage,
    )
    return Result(
        model=model,
        backend=sheet.backend,
        upstream_model=sheet.upstream_model,
        price_version=sheet.price_version,
        purchase=purchase,
        created=sheet.created,
        cost=sheet.cost,
        kept_at=sheet.kept_at,
        ids=sheet.ids,
        stored=sheet.stored,
        request_id=sheet.request_id,
    )
