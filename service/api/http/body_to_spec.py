"""Conversion of request bodies into the canonical spec.

Rule: an explicit default (`auto`, 100 % quality, null) becomes the spec of an absent field. Ids of end users are
replaced by pseudonyms here, so that no inner layer knows them.

Fails with: `InvalidValue` for fields that contradict each other; `TooLarge`, `UnreadableFile` and `UnreachableLink` for
references.
"""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

import msgspec
import pybase64

from service.api.schemas.requests import EditBody, EditForm, GenerateBody, ImageFields, ImageRef
from service.domain.base64_text import BLANKS, HEAD, base64_start, is_data_url, to_strict
from service.domain.errors import InvalidValue, TooLarge, UnreachableLink, UnreadableFile
from service.domain.image_spec import Operation, Reference, Size, Spec
from service.domain.stored_images import owned_stored_name
from service.domain.team_access import Team, pseudonym
from service.usecases.ports.uploads import Uploads

T = TypeVar("T")

MAX_DATA_URL_CHARS = 20_971_520  # characters, as at the vendor
MAX_URL_CHARS = 8_192
HTTPS = "https://"
FORMATS_WITHOUT_STREAM = frozenset({"gif", "svg"})


def to_spec(
    body: GenerateBody | EditBody | EditForm,
    team: Team,
    *,
    references: Sequence[Reference] = (),
    mask: Reference | None = None,
    markup: Reference | None = None,
) -> Spec:
    """Build the spec of a body and its references."""
    _check_streaming(body)
    return Spec(
        operation=Operation.GENERATE if isinstance(body, GenerateBody) else Operation.EDIT,
        model=body.model or "",
        prompt=body.prompt,
        n=body.n or 1,
        size=_size(body),
        tier=_none_if_default(body.quality, "auto"),
        background=_none_if_default(body.background, "auto"),
        output_format=body.output_format or "png",
        output_compression=_none_if_default(body.output_compression, 100),
        moderation=_none_if_default(body.moderation, "auto"),
        complexity=body.complexity,
        frame_count=body.frame_count,
        frame_duration_ms=body.frame_duration_ms,
        svg=_set_fields(body.svg) if body.svg else None,
        references=tuple(references),
        mask=mask,
        markup=markup,
        safety_identifier=pseudonym(team, body.safety_identifier) if body.safety_identifier else None,
        user=pseudonym(team, body.user) if body.user else None,
        **_endpoint_fields(body),
    )


def with_path_model(spec: Spec, model: str | None) -> Spec:
    """Set the model that the path names, if it names one. A body may name the same model, and no other."""
    if model is None:
        return spec
    if spec.model not in {"", model}:
        raise InvalidValue(f"The address names the model '{model[:80]}', the body '{spec.model[:80]}'.", param="model")
    return replace(spec, model=model)


def _endpoint_fields(body: GenerateBody | EditBody | EditForm) -> dict[str, Any]:
    """Build the fields that only one of the two endpoints has."""
    if not isinstance(body, GenerateBody):
        return {"input_fidelity": body.input_fidelity}
    return {
        "seed": body.seed,
        "steps": body.steps,
        "guidance_scale": _guidance(body),
        "negative_prompt": body.negative_prompt or None,
        "image_loras": tuple(body.image_loras or ()) or None,
        "disable_safety_checker": bool(body.disable_safety_checker),
    }


def _guidance(body: GenerateBody) -> float | None:
    """Return the guidance scale. Vercel's AI SDK sends it to Together as `guidance`."""
    if body.guidance is None or body.guidance_scale in {None, body.guidance}:
        return body.guidance_scale if body.guidance is None else body.guidance
    message = f"guidance says {body.guidance:g} but guidance_scale says {body.guidance_scale:g}."
    raise InvalidValue(message, param="guidance")


def _check_streaming(body: ImageFields) -> None:
    if body.partial_images and not body.stream:
        raise InvalidValue("partial_images needs stream to be true.", param="partial_images")
    if body.stream and body.output_format in FORMATS_WITHOUT_STREAM:
        raise InvalidValue(f"output_format {body.output_format} cannot be streamed.", param="stream")
    if body.stream and body.response_format == "url":
        raise InvalidValue("response_format url cannot be streamed: events hold pictures.", param="response_format")


def _none_if_default(value: T | None, default: T) -> T | None:
    return None if value == default else value


def _set_fields(options: msgspec.Struct) -> dict[str, object]:
    """Convert a struct into plain objects, without its null fields."""
    set_fields = {name: getattr(options, name) for name in options.__struct_fields__}
    return {
        name: _set_fields(value) if isinstance(value, msgspec.Struct) else value
        for name, value in set_fields.items()
        if value is not None
    }


def _size(body: ImageFields) -> Size | None:
    size = Size.parse(body.size) if body.size and body.size != "auto" else None
    if not isinstance(body, GenerateBody) or (body.width, body.height) == (None, None):
        return size
    if body.width is None or body.height is None:
        missing = "width" if body.width is None else "height"
        raise InvalidValue("width and height go together.", param=missing)
    from_edges = Size(body.width, body.height)
    if size and size != from_edges:
        raise InvalidValue(f"size says {size} but width and height say {from_edges}.", param="size")
    return from_edges


def generation_references(body: GenerateBody, uploads: Uploads) -> list[Reference]:
    """Build the references of the fields `image_url` and `reference_images`."""
    tokens = [("image_url", body.image_url)] if _is_set(body.image_url) else []
    items = [(f"reference_images[{index}]", token) for index, token in enumerate(body.reference_images or [])]
    return [parse_reference(token, name, uploads) for name, token in (*tokens, *items)]


def edit_references(body: EditBody, team: Team, uploads: Uploads) -> tuple[list[Reference], Reference | None]:
    """Build the references and the mask of a JSON edit."""
    images = [_to_reference(ref, team, f"images[{index}]", uploads) for index, ref in enumerate(body.images)]
    return images, _to_reference(body.mask, team, "mask", uploads) if body.mask else None


def _to_reference(ref: ImageRef, team: Team, name: str, uploads: Uploads) -> Reference:
    if (ref.file_id is not None) == _is_set(ref.image_url):
        raise InvalidValue(f"{name} needs either an image_url or a file_id.", param=f"{name}.image_url")
    if ref.file_id is not None:
        stored_name, digest = (
            owned_stored_name(team.name, ref.file_id),
            hashlib.sha256(ref.file_id.encode()).hexdigest(),
        )
        return Reference(param=f"{name}.file_id", digest=digest, stored_name=stored_name or "")
    return parse_reference(ref.image_url, f"{name}.image_url", uploads)


def _is_set(token: msgspec.Raw) -> bool:
    return bytes(memoryview(token)[:5]) != b"null"


def parse_reference(token: msgspec.Raw, name: str, uploads: Uploads) -> Reference:
    """Parse a JSON string that is a data URL or an https address.

    Base64 without escapes and line breaks never becomes a Python string. Other spellings are made plain first.
    """
    raw = memoryview(token)
    if len(raw) > MAX_DATA_URL_CHARS:
        raise TooLarge(f"{name} is longer than {MAX_DATA_URL_CHARS} characters.", param=name)
    start = base64_start(bytes(raw[1 : 1 + HEAD]))
    if start is not None:
        with suppress(ValueError):
            return _inline_reference(pybase64.b64decode(raw[1 + start : -1], validate=True), name, uploads)
    text = _token_text(token, name).strip(BLANKS)
    if is_data_url(text):
        return _inline_reference(_decode_data_url(text, name), name, uploads)
    return _linked_reference(text, name)


def _token_text(token: msgspec.Raw, name: str) -> bytes:
    """Decode a JSON string. Escaped slashes are common, and cheap to decode here."""
    raw = bytes(memoryview(token))
    if raw[:1] != b'"':
        raise InvalidValue(f"{name} must be a string.", param=name)
    text = raw[1:-1].replace(b"\\/", b"/")
    if b"\\" not in text:
        return text
    try:
        return msgspec.json.decode(token, type=str).encode()
    except (msgspec.DecodeError, UnicodeDecodeError):  # msgspec does not check a raw token before it is decoded
        raise InvalidValue(f"{name} is a string that is not valid JSON.", param=name) from None


def _decode_data_url(text: bytes, name: str) -> bytes:
    """Decode the image of a data URL."""
    start = base64_start(text)
    if start is None:
        raise UnreadableFile(f"{name} must be a data URL in base64.", param=name, code="invalid_base64_image")
    try:
        return pybase64.b64decode(to_strict(text[start:]), validate=True)
    except ValueError:
        raise UnreadableFile(f"{name} is not valid base64.", param=name, code="invalid_base64_image") from None


def _inline_reference(image: bytes, name: str, uploads: Uploads) -> Reference:
    upload = uploads.new_spool().begin(name)
    upload.write(image)
    return upload.finish()


def _linked_reference(text: bytes, name: str) -> Reference:
    """Build the reference to an address. The scheme may be written in any case."""
    try:
        address = text.decode()
    except UnicodeDecodeError:
        raise InvalidValue(f"{name} must be a string of UTF-8 text.", param=name) from None
    if address[: len(HTTPS)].lower() != HTTPS or len(address) > MAX_URL_CHARS:
        raise UnreachableLink(f"{name} must be an https address or a data URL.", param=name)
    address = HTTPS + address[len(HTTPS) :]
    return Reference(param=name, digest=hashlib.sha256(address.encode()).hexdigest(), link=address)
