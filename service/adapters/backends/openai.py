"""OpenAI's dialect: generations as JSON, edits as a form (or as JSON where links are relayed).

Rule: only what the canonical spec holds is written, and only what is not a default; `response_format` is never sent
(GPT image models refuse it). A 200 without pictures is a `BROKEN_REPLY`. Vendor facts and sources: `docs/vendors.md`.
"""

from collections.abc import Callable, Mapping

import msgspec

from service.adapters.backends.dialect import (
    BROKEN,
    FILE_ENDINGS,
    UNREADABLE,
    Call,
    Cut,
    File,
    Limited,
    Refusals,
    cut,
    failure,
    open_picture,
    read_complaint,
)
from service.domain.errors import Failure, FailureKind, InvalidValue
from service.domain.images import Operation, Reference, Size, Spec
from service.domain.outcomes import Buffer, Outcome, Partial, Picture, Purchase, Usage
from service.usecases.ports import Order

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

REFUSALS = Refusals(
    codes={
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
    },
    statuses={},
    retry_headers=("retry-after-ms", "retry-after"),
)


class _Details(msgspec.Struct):
    text_tokens: int = 0
    image_tokens: int = 0
    cached_tokens: int | None = None


class _Cached(msgspec.Struct):
    cached_text_tokens: int = 0
    cached_image_tokens: int = 0


class _Usage(msgspec.Struct):
    input_tokens: int
    output_tokens: int
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None
    cached_tokens: int | None = None
    cached_tokens_details: _Cached | None = None


class _Item(msgspec.Struct):
    b64_json: msgspec.Raw = msgspec.Raw(b"null")
    revised_prompt: str | None = None


class _Reply(msgspec.Struct):
    data: list[_Item]
    created: int | None = None
    size: str | None = None
    quality: str | None = None
    background: str | None = None
    output_format: str | None = None
    usage: _Usage | None = None
    svg_usage: dict[str, object] | None = None


class _Event(msgspec.Struct):
    """One server-sent event, of any kind."""

    type: str = ""
    b64_json: msgspec.Raw = msgspec.Raw(b"null")
    partial_image_index: int = 0
    created_at: int | None = None
    size: str | None = None
    quality: str | None = None
    background: str | None = None
    output_format: str | None = None
    usage: _Usage | None = None
    error: object = None


MOST_TOKENS = 1_000_000_000
"""Of a kind, in a reply. More is a mistake, and what it comes to would not fit into the books."""

_DECODER = msgspec.json.Decoder(_Reply)
_EVENT_DECODER = msgspec.json.Decoder(_Event)
OK_SO_FAR = 500  # an error in a stream has no status of its own, and is the vendor's unless its code says otherwise


RATE = "x-ratelimit"
LIMITS = tuple(
    Limited(name, f"{RATE}-limit-{name}", f"{RATE}-remaining-{name}", f"{RATE}-reset-{name}", evenly=True)
    for name in ("requests", "images", "tokens")
)


class OpenAIDialect:
    """The vendor whose API the gateway's own follows."""

    limits = LIMITS

    def write(self, order: Order) -> Call:
        """The call for an order. Reads the caller's pictures from disk."""
        spec = order.spec
        wanted = {"model": order.route.model} | {
            name: value for name, write in FIELDS.items() if (value := write(spec)) is not None
        }
        if order.partials:
            wanted |= {"stream": True, "partial_images": order.partials}
        if spec.operation is Operation.GENERATE:
            return Call(path="/images/generations", json=msgspec.json.encode(wanted))
        brought = (*spec.references, *filter(None, (spec.mask, spec.markup)))
        if all(reference.content is None for reference in brought):
            return Call(path="/images/edits", json=msgspec.json.encode(wanted | _links(spec)))
        return Call(path="/images/edits", fields=dict(_flat(wanted)), files=tuple(_files(spec)))

    def read(self, order: Order, body: bytearray) -> Outcome:
        """What a 200 brought."""
        del order
        text = cut(body)
        try:
            reply = _DECODER.decode(text.rest)
        except UNREADABLE:
            return BROKEN
        pictures = [_picture(item, text) for item in reply.data]
        found = tuple(picture for picture in pictures if picture)
        if not found or len(found) < len(pictures):
            return BROKEN
        return Purchase(
            pictures=found,
            created=reply.created,
            size=_size(reply.size),
            tier=_said(reply.quality),
            background=_said(reply.background),
            output_format=reply.output_format,
            usage=_usage(reply.usage),
            svg_usage=reply.svg_usage,
        )

    def read_event(self, order: Order, event: bytes | bytearray) -> Partial | Outcome | None:
        """What the data of one server-sent event brought: a preview, the picture, or what went wrong."""
        del order
        text = cut(event)
        try:
            found = _EVENT_DECODER.decode(text.rest)
        except UNREADABLE:
            return BROKEN
        if found.error is not None or found.type == "error":
            return _failure_in_stream(bytes(event))
        base64 = text.picture(found.b64_json)
        if found.type.endswith(".partial_image") and base64:
            return _partial(found, base64)
        if found.type.endswith(".completed"):
            return _completed(found, base64) if base64 else BROKEN
        return None

    def read_failure(self, status: int, headers: Mapping[str, str], body: bytes) -> Failure:
        """What any other status means."""
        return read_failure(status, headers, body)


def _partial(event: _Event, base64: Buffer) -> Partial:
    return Partial(
        base64=base64,
        index=event.partial_image_index,
        created=event.created_at,
        size=event.size,
        tier=event.quality,
        background=event.background,
        output_format=event.output_format,
    )


def _completed(event: _Event, base64: Buffer) -> Purchase:
    return Purchase(
        pictures=(Picture(base64=base64),),
        created=event.created_at,
        size=_size(event.size),
        tier=_said(event.quality),
        background=_said(event.background),
        output_format=event.output_format,
        usage=_usage(event.usage),
    )


def _failure_in_stream(event: bytes) -> Failure:
    """The vendor's own error, as a 500 would be read. An event in another form says nothing about the money."""
    refused = read_failure(OK_SO_FAR, {}, event)
    if refused.kind is FailureKind.SERVER_ERROR and not read_complaint(event).is_envelope:
        return BROKEN
    return refused


def read_failure(status: int, headers: Mapping[str, str], body: bytes) -> Failure:
    """A refusal in OpenAI's envelope as a domain value. `headers` have lower-case names."""
    return failure(REFUSALS, status, headers, body)


def _links(spec: Spec) -> dict[str, object]:
    links: dict[str, object] = {"images": [{"image_url": reference.link} for reference in spec.references]}
    overlays = {"mask": spec.mask, "markup": spec.markup}
    return links | {name: {"image_url": overlay.link} for name, overlay in overlays.items() if overlay}


def _flat(fields: Mapping[str, object], prefix: str = "") -> list[tuple[str, str]]:
    """A form's text parts; nested objects in brackets, as `svg[reasoning][effort]`, truth in JSON's words."""
    flat = []
    for name, value in fields.items():
        key = f"{prefix}[{name}]" if prefix else name
        text = str(value).lower() if isinstance(value, bool) else str(value)
        flat += _flat(value, key) if isinstance(value, Mapping) else [(key, text)]
    return flat


def _files(spec: Spec) -> list[File]:
    """One picture is `image`, several are `image[]`, each labelled with what it is: octet-stream is refused there."""
    name = "image" if len(spec.references) == 1 else "image[]"
    parts = [_file(name, f"image-{index}", picture) for index, picture in enumerate(spec.references)]
    overlays = {"mask": spec.mask, "markup": spec.markup}
    return parts + [_file(part, part, overlay) for part, overlay in overlays.items() if overlay]


def _file(part: str, stem: str, picture: Reference) -> File:
    ending = FILE_ENDINGS[picture.media_type]
    return part, (f"{stem}.{ending}", open_picture(picture), picture.media_type)


def _picture(item: _Item, text: Cut) -> Picture | None:
    base64 = text.picture(item.b64_json)
    return Picture(base64=base64, revised_prompt=item.revised_prompt) if base64 else None


def _said(value: str | None) -> str | None:
    """A resolved value; `auto` says nothing."""
    return None if value == "auto" else value


def _size(text: str | None) -> Size | None:
    try:
        return Size.parse(text or "")
    except InvalidValue:
        return None


def _usage(usage: _Usage | None) -> Usage | None:
    """The vendor's count, or None where it cannot be one. Without details, input is text and output is picture."""
    if usage is None:
        return None
    given, made = usage.input_tokens_details, usage.output_tokens_details
    text_in = given.text_tokens if given else usage.input_tokens
    text_cached, image_cached = _cached(usage, text_in)
    counted = {
        "text_in": text_in,
        "image_in": given.image_tokens if given else 0,
        "image_out": usage.output_tokens - (made.text_tokens if made else 0),
        "text_out": made.text_tokens if made else 0,
        "text_cached": text_cached,
        "image_cached": image_cached,
    }
    return Usage(**counted) if min(counted.values()) >= 0 and max(counted.values()) <= MOST_TOKENS else None


def _cached(usage: _Usage, text_in: int) -> tuple[int, int]:
    """Cached text and cached pictures. A bare total is text first: that saves less, so the cost is never too low."""
    if usage.cached_tokens_details:
        return usage.cached_tokens_details.cached_text_tokens, usage.cached_tokens_details.cached_image_tokens
    given = usage.input_tokens_details
    total = usage.cached_tokens or (given.cached_tokens if given else None) or 0
    text = min(total, text_in)
    return text, total - text
