"""Together's dialect: one endpoint, `POST /images/generations`, for images from text and from other images.

Rule: a call always asks for base64, because links die within the hour, and for the format, because its default is jpeg.
The caller's images travel as data URLs, or as links where links are relayed. Vendor facts and sources:
`docs/vendors.md`.

Fails with: `BROKEN_REPLY` for a reply without a readable image.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import msgspec
import pybase64

from service.adapters.backends.dialect import (
    BROKEN_REPLY,
    Call,
    ErrorMapping,
    Items,
    RateLimitHeaders,
    open_reference,
    read_images,
    split_images,
    to_failure,
)
from service.adapters.backends.lenient_json import decode_or_none
from service.domain.catalog import ReferencesAs, Route, SizeAs
from service.domain.errors import Failure, FailureKind
from service.domain.generation import CallOutcome, Generation, Preview
from service.domain.image_spec import Reference, Spec
from service.usecases.ports.requests import UpstreamRequest

FIELDS: Mapping[str, Callable[[Spec], object]] = {
    "prompt": lambda spec: spec.prompt,
    "n": lambda spec: spec.n,
    "output_format": lambda spec: spec.output_format,
    "seed": lambda spec: spec.seed,
    "steps": lambda spec: spec.steps,
    "guidance_scale": lambda spec: spec.guidance_scale,
    "negative_prompt": lambda spec: spec.negative_prompt,
    "image_loras": lambda spec: spec.image_loras,
    "disable_safety_checker": lambda spec: spec.disable_safety_checker or None,
}

ERROR_MAPPING = ErrorMapping(
    kinds_by_code={"third_party_data_sharing_blocked": FailureKind.NOT_PERMITTED},
    kinds_by_status={422: FailureKind.MODERATION_BLOCKED},
    retry_headers=("retry-after", "x-ratelimit-reset"),
)
MODEL_WITHDRAWN = "non-serverless model"
OUTPUT_MODERATION: Mapping[str, object] = {"moderation_stage": "output", "categories": []}


class _Reply(msgspec.Struct):
    data: Items


_DECODER = msgspec.json.Decoder(_Reply)


LIMITS = (
    RateLimitHeaders("requests", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"),
    RateLimitHeaders("tokens", "x-tokenlimit-limit", "x-tokenlimit-remaining", "x-ratelimit-reset"),
)


class TogetherDialect:
    """Wire format of a vendor with many models behind one endpoint. Its replies have neither size nor format."""

    rate_limit_headers = LIMITS

    def write(self, request: UpstreamRequest) -> Call:
        spec, route = request.spec, request.route
        body: dict[str, object] = {"model": route.model, "response_format": "base64"}
        body |= {name: value for name, write in FIELDS.items() if (value := write(spec)) is not None}
        body |= _size_fields(spec, route) | _reference_fields(spec, route)
        return Call(path="/images/generations", json=msgspec.json.encode(body))

    def read(self, request: UpstreamRequest, body: bytearray) -> CallOutcome:
        del request
        text = split_images(body)
        reply = decode_or_none(_DECODER, text.json)
        images, unread = read_images(reply.data, text) if reply else ((), 0)
        return Generation(images=images, background="opaque", unreadable_images=unread) if images else BROKEN_REPLY

    def read_event(self, request: UpstreamRequest, event: bytes | bytearray) -> Preview | CallOutcome | None:
        """Return None, because Together streams no images."""
        del request, event
        return None

    def read_failure(self, status: int, headers: Mapping[str, str], body: bytes) -> Failure:
        """Read an error. All codes but one are Together's own and unknown to OpenAI's clients, so they are removed."""
        result = to_failure(ERROR_MAPPING, status, headers, body)
        match result.kind:
            case FailureKind.NOT_PERMITTED:
                return result
            case FailureKind.MODERATION_BLOCKED:
                return replace(result, code=None, moderation_details=OUTPUT_MODERATION)
            case FailureKind.INVALID_REQUEST if MODEL_WITHDRAWN in result.message:
                return replace(result, code=None, kind=FailureKind.MODEL_NOT_FOUND)
        return replace(result, code=None)


def _size_fields(spec: Spec, route: Route) -> dict[str, object]:
    if spec.size is None:
        return {}
    if route.size_as is SizeAs.ASPECT_RATIO:
        return {"aspect_ratio": spec.size.ratio}
    return {"width": spec.size.width, "height": spec.size.height}


def _reference_fields(spec: Spec, route: Route) -> dict[str, object]:
    addresses = [_reference_url(reference) for reference in spec.references]
    if not addresses:
        return {}
    if len(addresses) == 1 and route.references_as is ReferencesAs.IMAGE_URL:
        return {"image_url": addresses[0]}
    return {"reference_images": addresses}


def _reference_url(reference: Reference) -> str | msgspec.Raw:
    """Return the link, or the image as a data URL in raw JSON, without a Python string of it."""
    if reference.content is None:
        return reference.link or ""
    with open_reference(reference) as reader:
        base64 = pybase64.b64encode(reader.read())
    return msgspec.Raw(b'"data:%s;base64,%s"' % (reference.media_type.encode(), base64))
