"""OpenAI's dialect: generations as JSON, edits as a form, or as JSON where links are relayed.

Rule: a call has only the fields of the canonical spec that are not defaults. `response_format` is never sent, because
GPT image models refuse it. A reply needs one readable image and nothing else. Vendor facts and sources:
`docs/vendors.md`.

Fails with: `BROKEN_REPLY` for a reply without a readable image.
"""

from collections.abc import Callable, Mapping

import msgspec

from service.adapters.backends.dialect import (
    BROKEN_REPLY,
    FILE_ENDINGS,
    LOOP,
    Call,
    ErrorMapping,
    File,
    Items,
    RateLimitHeaders,
    open_reference,
    read_images,
    read_vendor_error,
    split_images,
    to_failure,
)
from service.adapters.backends.lenient_json import decode_or_none, to_format, to_text, to_unix_seconds, to_whole_number
from service.adapters.backends.token_counts import TokenCount, read_count
from service.domain.errors import Failure, FailureKind, InvalidValue
from service.domain.generation import Buffer, CallOutcome, GeneratedImage, Generation, Preview
from service.domain.image_spec import Operation, Reference, Size, Spec
from service.usecases.ports.requests import UpstreamRequest

FIELDS: Mapping[str, Callable[[Spec], object]] = {
    "prompt": lambda spec: spec.prompt,
    "n": lambda spec: spec.n if spec.n > 1 else None,
    "size": lambda spec: str(spec.size) if spec.size else None,
    "quality": lambda spec: spec.tier,
    "background": lambda spec: spec.background,
    "output_format": lambda spec: spec.output_format if spec.output_format != "png" else None,
    "output_compression": lambda spec: spec.output_compression,
    "moderation": lambda spec: spec.moderation,
    "complexity": lambda spec: spec.complexity,
    "frame_count": lambda spec: spec.frame_count,
    "frame_duration_ms": lambda spec: spec.frame_duration_ms,
    "svg": lambda spec: spec.svg,
    "input_fidelity": lambda spec: spec.input_fidelity,
    "safety_identifier": lambda spec: spec.safety_identifier,
    "user": lambda spec: spec.user,
}

ERROR_MAPPING = ErrorMapping(
    kinds_by_code={
        "moderation_blocked": FailureKind.MODERATION_BLOCKED,
        "content_policy_violation": FailureKind.MODERATION_BLOCKED,
        "invalid_api_key": FailureKind.AUTH_FAILED,
        "model_not_found": FailureKind.MODEL_NOT_FOUND,
        "insufficient_quota": FailureKind.QUOTA_EXHAUSTED,
        "billing_hard_limit_reached": FailureKind.QUOTA_EXHAUSTED,
        "credit_balance_exhausted": FailureKind.QUOTA_EXHAUSTED,
        "organization_spend_limit_exceeded": FailureKind.QUOTA_EXHAUSTED,
        "project_spend_limit_exceeded": FailureKind.QUOTA_EXHAUSTED,
        "organization_usage_limit_exceeded": FailureKind.QUOTA_EXHAUSTED,
        "rate_limit_exceeded": FailureKind.RATE_LIMITED,
        "slow_down": FailureKind.RATE_LIMITED,
        "server_is_overloaded": FailureKind.OVERLOADED,
        "unknown_url": FailureKind.SERVER_ERROR,  # a wrong base address; the next is a gateway's code for it
        "unknown_path": FailureKind.SERVER_ERROR,
        LOOP: FailureKind.FORBIDDEN,
        "upstream_auth_error": FailureKind.FORBIDDEN,  # another gateway's operator has to act
    },
    kinds_by_status={},
    retry_headers=("retry-after-ms", "retry-after"),
)


class _Reply(msgspec.Struct):
    """A reply. Only the images must be as documented."""

    data: Items
    created: object = None
    size: object = None
    quality: object = None
    background: object = None
    output_format: object = None
    usage: object = None
    svg_usage: object = None


class _Event(msgspec.Struct):
    """A server-sent event of any kind. Only its image must be as documented."""

    type: object = None
    b64_json: msgspec.Raw = msgspec.Raw(b"null")
    partial_image_index: object = None
    created_at: object = None
    size: object = None
    quality: object = None
    background: object = None
    output_format: object = None
    usage: object = None
    error: object = None


MAX_PREVIEW_INDEX = 1000
_DECODER = msgspec.json.Decoder(_Reply)
_EVENT_DECODER = msgspec.json.Decoder(_Event)
STREAM_ERROR_STATUS = 500  # an error in a stream has no status; without a known code it is the vendor's fault


RATE_LIMIT_PREFIX = "x-ratelimit"
LIMITS = tuple(
    RateLimitHeaders(
        name,
        f"{RATE_LIMIT_PREFIX}-limit-{name}",
        f"{RATE_LIMIT_PREFIX}-remaining-{name}",
        f"{RATE_LIMIT_PREFIX}-reset-{name}",
        is_continuous=True,
    )
    for name in ("requests", "images", "tokens")
)


class OpenAIDialect:
    """Wire format of the vendor whose API the gateway's own follows."""

    rate_limit_headers = LIMITS

    def write(self, request: UpstreamRequest) -> Call:
        spec = request.spec
        body = {"model": request.route.model} | {
            name: value for name, write in FIELDS.items() if (value := write(spec)) is not None
        }
        if request.partials:
            body |= {"stream": True, "partial_images": request.partials}
        if spec.operation is Operation.GENERATE:
            return Call(path="/images/generations", json=msgspec.json.encode(body))
        input_images = (*spec.references, *filter(None, (spec.mask, spec.markup)))
        if all(reference.content is None for reference in input_images):
            return Call(path="/images/edits", json=msgspec.json.encode(body | _link_fields(spec)))
        return Call(path="/images/edits", fields=dict(_flatten(body)), files=tuple(_form_files(spec)))

    def read(self, request: UpstreamRequest, body: bytearray) -> CallOutcome:
        del request
        text = split_images(body)
        reply = decode_or_none(_DECODER, text.json)
        images, unread = read_images(reply.data, text) if reply else ((), 0)
        if reply is None or not images:
            return BROKEN_REPLY
        count = read_count(reply.usage)
        if not isinstance(reply.svg_usage, dict | None):  # an unreadable cost
            count = TokenCount(minimum=count.usage or count.minimum)
        return Generation(
            images=images,
            created=to_unix_seconds(reply.created),
            size=_to_size(reply.size),
            tier=_explicit_value(reply.quality),
            background=_explicit_value(reply.background),
            output_format=to_format(reply.output_format),
            usage=count.usage,
            svg_usage=reply.svg_usage if isinstance(reply.svg_usage, dict) else None,
            partial_usage=count.minimum,
            unreadable_images=unread,
        )

    def read_event(self, request: UpstreamRequest, event: bytes | bytearray) -> Preview | CallOutcome | None:
        del request
        text = split_images(event)
        event_object = decode_or_none(_EVENT_DECODER, text.json)
        if event_object is None:
            return BROKEN_REPLY
        kind = to_text(event_object.type) or ""
        if event_object.error is not None or kind == "error":
            return _to_stream_failure(bytes(event))
        base64 = text.base64_for(event_object.b64_json)
        if kind.endswith(".partial_image") and base64:
            return _to_partial(event_object, base64)
        if kind.endswith(".completed"):
            return _to_generation(event_object, base64) if base64 else BROKEN_REPLY
        return None

    def read_failure(self, status: int, headers: Mapping[str, str], body: bytes) -> Failure:
        return read_failure(status, headers, body)


def _to_partial(event: _Event, base64: Buffer) -> Preview:
    return Preview(
        base64=base64,
        index=to_whole_number(event.partial_image_index, MAX_PREVIEW_INDEX) or 0,
        created=to_unix_seconds(event.created_at),
        size=to_text(event.size),
        tier=to_text(event.quality),
        background=to_text(event.background),
        output_format=to_text(event.output_format),
    )


def _to_generation(event: _Event, base64: Buffer) -> Generation:
    count = read_count(event.usage)
    return Generation(
        images=(GeneratedImage(base64=base64),),
        created=to_unix_seconds(event.created_at),
        size=_to_size(event.size),
        tier=_explicit_value(event.quality),
        background=_explicit_value(event.background),
        output_format=to_format(event.output_format),
        usage=count.usage,
        partial_usage=count.minimum,
    )


def _to_stream_failure(event: bytes) -> Failure:
    """Read a vendor's error in a stream like one with status 500. An event in another form may have been billed."""
    refused = read_failure(STREAM_ERROR_STATUS, {}, event)
    if refused.kind is FailureKind.SERVER_ERROR and not read_vendor_error(event).is_envelope:
        return BROKEN_REPLY
    return refused


def read_failure(status: int, headers: Mapping[str, str], body: bytes) -> Failure:
    """Convert an error reply in OpenAI's form to a domain value. `headers` have lower-case names."""
    return to_failure(ERROR_MAPPING, status, headers, body)


def _link_fields(spec: Spec) -> dict[str, object]:
    links: dict[str, object] = {"images": [{"image_url": reference.link} for reference in spec.references]}
    overlays = {"mask": spec.mask, "markup": spec.markup}
    return links | {name: {"image_url": overlay.link} for name, overlay in overlays.items() if overlay}


def _flatten(fields: Mapping[str, object], prefix: str = "") -> list[tuple[str, str]]:
    """Build a form's text parts: nested objects in brackets, as `svg[reasoning][effort]`, booleans as in JSON."""
    flat = []
    for name, value in fields.items():
        key = f"{prefix}[{name}]" if prefix else name
        text = str(value).lower() if isinstance(value, bool) else str(value)
        flat += _flatten(value, key) if isinstance(value, Mapping) else [(key, text)]
    return flat


def _form_files(spec: Spec) -> list[File]:
    """Build a form's files: one image is `image`, several are `image[]`. OpenAI refuses the type octet-stream."""
    name = "image" if len(spec.references) == 1 else "image[]"
    parts = [_form_file(name, f"image-{index}", reference) for index, reference in enumerate(spec.references)]
    overlays = {"mask": spec.mask, "markup": spec.markup}
    return parts + [_form_file(part, part, overlay) for part, overlay in overlays.items() if overlay]


def _form_file(part: str, stem: str, reference: Reference) -> File:
    ending = FILE_ENDINGS[reference.media_type]
    return part, (f"{stem}.{ending}", open_reference(reference), reference.media_type)


def _explicit_value(value: object) -> str | None:
    """Return a value that the vendor resolved; `auto` counts as absent."""
    return None if value == "auto" else to_text(value)


def _to_size(value: object) -> Size | None:
    try:
        return Size.parse(to_text(value) or "")
    except InvalidValue:
        return None
