"""OpenAI's dialect: generations as JSON, edits as a form (or as JSON where links are relayed).

Rule: only what the canonical spec holds is written, and only what is not a default; `response_format` is never sent
(GPT image models refuse it). Of a reply only a picture that can be read is needed: without one it is a `BROKEN_REPLY`.
Vendor facts and sources: `docs/vendors.md`.
"""

from collections.abc import Callable, Mapping

import msgspec

from service.adapters.backends.counts import Count, read_count
from service.adapters.backends.dialect import (
    BROKEN,
    FILE_ENDINGS,
    LOOP,
    Call,
    File,
    Items,
    Limited,
    Refusals,
    cut,
    failure,
    open_picture,
    pictures_of,
    read_complaint,
)
from service.adapters.backends.lenient import decoded, format_of, seconds_of, text_of, whole_number
from service.domain.errors import Failure, FailureKind, InvalidValue
from service.domain.images import Operation, Reference, Size, Spec
from service.domain.outcomes import Buffer, Outcome, Partial, Picture, Purchase
from service.usecases.requests import UpstreamRequest

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
        "unknown_url": FailureKind.SERVER_ERROR,  # a wrong base address; the next is the same at another gateway
        "unknown_path": FailureKind.SERVER_ERROR,
        LOOP: FailureKind.FORBIDDEN,
        "upstream_auth_error": FailureKind.FORBIDDEN,  # another gateway's operator has to act
    },
    statuses={},
    retry_headers=("retry-after-ms", "retry-after"),
)


class _Reply(msgspec.Struct):
    """A reply. Only the pictures have to be as documented."""

    data: Items
    created: object = None
    size: object = None
    quality: object = None
    background: object = None
    output_format: object = None
    usage: object = None
    svg_usage: object = None


class _Event(msgspec.Struct):
    """One server-sent event, of any kind. Only its picture has to be as documented."""

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


MOST_INDEX = 1000
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

    def write(self, request: UpstreamRequest) -> Call:
        """The call for a request. Reads the caller's pictures from disk."""
        spec = request.spec
        wanted = {"model": request.route.model} | {
            name: value for name, write in FIELDS.items() if (value := write(spec)) is not None
        }
        if request.partials:
            wanted |= {"stream": True, "partial_images": request.partials}
        if spec.operation is Operation.GENERATE:
            return Call(path="/images/generations", json=msgspec.json.encode(wanted))
        brought = (*spec.references, *filter(None, (spec.mask, spec.markup)))
        if all(reference.content is None for reference in brought):
            return Call(path="/images/edits", json=msgspec.json.encode(wanted | _links(spec)))
        return Call(path="/images/edits", fields=dict(_flat(wanted)), files=tuple(_files(spec)))

    def read(self, request: UpstreamRequest, body: bytearray) -> Outcome:
        """What a 200 brought."""
        del request
        text = cut(body)
        reply = decoded(_DECODER, text.rest)
        pictures, unread = pictures_of(reply.data, text) if reply else ((), 0)
        if reply is None or not pictures:
            return BROKEN
        count = read_count(reply.usage)
        if reply.svg_usage is not None and not isinstance(
            reply.svg_usage, dict
        ):  # it cost something, nobody knows what
            count = Count(least=count.usage or count.least)
        return Purchase(
            pictures=pictures,
            created=seconds_of(reply.created),
            size=_size(reply.size),
            tier=_said(reply.quality),
            background=_said(reply.background),
            output_format=format_of(reply.output_format),
            usage=count.usage,
            svg_usage=reply.svg_usage if isinstance(reply.svg_usage, dict) else None,
            least=count.least,
            unread=unread,
        )

    def read_event(self, request: UpstreamRequest, event: bytes | bytearray) -> Partial | Outcome | None:
        """What the data of one server-sent event brought: a preview, the picture, or what went wrong."""
        del request
        text = cut(event)
        found = decoded(_EVENT_DECODER, text.rest)
        if found is None:
            return BROKEN
        kind = text_of(found.type) or ""
        if found.error is not None or kind == "error":
            return _failure_in_stream(bytes(event))
        base64 = text.picture(found.b64_json)
        if kind.endswith(".partial_image") and base64:
            return _partial(found, base64)
        if kind.endswith(".completed"):
            return _completed(found, base64) if base64 else BROKEN
        return None

    def read_failure(self, status: int, headers: Mapping[str, str], body: bytes) -> Failure:
        """What any other status means."""
        return read_failure(status, headers, body)


def _partial(event: _Event, base64: Buffer) -> Partial:
    return Partial(
        base64=base64,
        index=whole_number(event.partial_image_index, MOST_INDEX) or 0,
        created=seconds_of(event.created_at),
        size=text_of(event.size),
        tier=text_of(event.quality),
        background=text_of(event.background),
        output_format=text_of(event.output_format),
    )


def _completed(event: _Event, base64: Buffer) -> Purchase:
    count = read_count(event.usage)
    return Purchase(
        pictures=(Picture(base64=base64),),
        created=seconds_of(event.created_at),
        size=_size(event.size),
        tier=_said(event.quality),
        background=_said(event.background),
        output_format=format_of(event.output_format),
        usage=count.usage,
        least=count.least,
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


def _said(value: object) -> str | None:
    """A resolved value; `auto` says nothing."""
    return None if value == "auto" else text_of(value)


def _size(value: object) -> Size | None:
    try:
        return Size.parse(text_of(value) or "")
    except InvalidValue:
        return None
