"""Encoded results in Redis: one string each, with the images as raw bytes.

    magic and version (4) | xxh3-64 (8) | length of model (2) | length of metadata (4) | model | metadata | images

Rule: decoding returns the encoded result, or nothing. The checksum covers everything behind it and the result's key. So
a truncated or altered string, another version's, or one under another key is None. The metadata is everything but model
and images, as an array in MessagePack. The model stands within the first `HEAD_BYTES`.

Fails with: None for a result that cannot be encoded, such as an image that is not base64.
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
_CHECKED_OFFSET = 12  # of the first byte that the checksum covers
_LENGTHS = struct.Struct(">HI")


class _Metadata(msgspec.Struct, array_like=True, kw_only=True):
    # Redis holds the values in this order, without names. Older replicas read them.
    backend: str
    upstream_model: str
    price_version: str
    created: int
    cost: int
    stored_at: int
    ids: tuple[str, ...]
    stored: bool
    request_id: str
    images: list[tuple[int, str | None]]  # length and revised prompt
    vendor_created: int | None
    size: Size | None
    tier: str | None
    background: str | None
    output_format: str | None
    usage: Usage | None
    svg_usage: dict[str, Any] | None


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Metadata)


def encode_result(result: Result, key: str, *, with_images: bool = True) -> bytes | None:
    """Encode a result for the key `key`. Without images, the metadata still has their number."""
    images = result.generation.images
    try:
        bodies = (
            [pybase64.b64decode(image.base64, validate=True) for image in images]
            if with_images
            else [b""] * len(images)
        )
        model, metadata = result.model.encode(), _encoder.encode(_to_metadata(result, bodies))
        header = b"".join((_LENGTHS.pack(len(model), len(metadata)), model, metadata))
    except (ValueError, TypeError, OverflowError, struct.error):
        return None
    return with_checksum(key, header, *bodies)


def with_checksum(key: str, *parts: bytes) -> bytes:
    """Put magic, version and checksum before the parts."""
    return b"".join((MAGIC, _checksum(key, *parts), *parts))


def _checksum(key: str, *parts: Buffer) -> bytes:
    checksum = xxh3_64(key.encode())
    for part in parts:
        checksum.update(part)
    return checksum.digest()


def decode_result(encoded: bytes, key: str) -> Result | None:
    """Decode a result; None unless every byte is present and right."""
    view = memoryview(encoded)
    if len(view) < _FRAME.size:
        return None
    magic, checksum, model_length, metadata_length = _FRAME.unpack_from(view)
    if magic != MAGIC or checksum != _checksum(key, view[_CHECKED_OFFSET:]):
        return None
    # The checksum is right, so these bytes were encoded. They may still have another replica's form.
    metadata_offset, bodies_offset = _FRAME.size + model_length, _FRAME.size + model_length + metadata_length
    try:
        model, metadata = (
            str(view[_FRAME.size : metadata_offset], "utf-8"),
            _decoder.decode(view[metadata_offset:bodies_offset]),
        )
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    bodies = view[bodies_offset:]
    if sum(length for length, _ in metadata.images) != len(bodies):
        return None
    return _to_result(model, metadata, bodies)


def parse_model(head: object) -> str | None:
    """Parse the model from the first `HEAD_BYTES` of a result; None for any other string or version."""
    if not isinstance(head, bytes) or len(head) < _FRAME.size or head[: len(MAGIC)] != MAGIC:
        return None
    model_length = _FRAME.unpack_from(head)[2]
    return head[_FRAME.size : _FRAME.size + model_length].decode(errors="replace")


def _to_metadata(result: Result, bodies: list[bytes]) -> _Metadata:
    generation = result.generation
    prompts = (image.revised_prompt for image in generation.images)
    return _Metadata(
        backend=result.backend,
        upstream_model=result.upstream_model,
        price_version=result.price_version,
        created=result.created,
        cost=result.cost,
        stored_at=result.stored_at,
        ids=result.ids,
        stored=result.images_stored,
        request_id=result.request_id,
        images=[*zip(map(len, bodies), prompts, strict=True)],
        vendor_created=generation.created,
        size=generation.size,
        tier=generation.tier,
        background=generation.background,
        output_format=generation.output_format,
        usage=generation.usage,
        svg_usage=None if generation.svg_usage is None else dict(generation.svg_usage),
    )


def _to_result(model: str, metadata: _Metadata, bodies: memoryview) -> Result:
    images, start = [], 0
    for length, prompt in metadata.images:
        base64 = pybase64.b64encode(bodies[start : start + length])
        images.append(GeneratedImage(base64=base64, revised_prompt=prompt))
        start += length
    generation = Generation(
        images=tuple(images),
        created=metadata.vendor_created,
        size=metadata.size,
        tier=metadata.tier,
        background=metadata.background,
        output_format=metadata.output_format,
        usage=metadata.usage,
        svg_usage=metadata.svg_usage,
    )
    return Result(
        model=model,
        backend=metadata.backend,
        upstream_model=metadata.upstream_model,
        price_version=metadata.price_version,
        generation=generation,
        created=metadata.created,
        cost=metadata.cost,
        stored_at=metadata.stored_at,
        ids=metadata.ids,
        images_stored=metadata.stored,
        request_id=metadata.request_id,
    )
