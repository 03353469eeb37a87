"""The JSON reply of image requests: OpenAI's body with the fields that Together's SDKs need.

Rule: the body is a list of segments. The vendor's base64 is one of them, by reference: it is never copied, joined or
decoded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, cast

import msgspec
from litestar.response.base import ASGIResponse
from litestar.types import HTTPResponseBodyEvent, Receive, Send
from msgspec import Meta

from service.domain.generation import Buffer, GeneratedImage, Usage
from service.usecases.generate.delivery import Delivery

SvgUsage = Mapping[str, object]


class TokenDetails(msgspec.Struct):
    """Tokens by kind."""

    text_tokens: int
    image_tokens: int


class TokenUsage(msgspec.Struct):
    """Tokens as the vendor counted them, over all images of the reply.

    An operator may set them to 0 in replies that were bought for another request (`x-gateway-cache: hit` or `joined`).
    """

    input_tokens: int
    input_tokens_details: TokenDetails
    output_tokens: int
    output_tokens_details: TokenDetails
    total_tokens: int


class ImageItem(msgspec.Struct, omit_defaults=True):
    """One image, as base64 or as an address."""

    index: int
    type: Literal["b64_json", "url"]
    id: str
    url: str | None = None
    revised_prompt: str | None = None
    b64_json: Annotated[str | None, Meta(description="Plain base64, without a data: prefix.")] = None


class ImagesReply(msgspec.Struct, omit_defaults=True):
    """The reply of both image endpoints."""

    created: int
    id: str
    object: Literal["list"]
    model: str
    data: list[ImageItem]
    background: str | None = None
    output_format: str | None = None
    quality: str | None = None
    size: str | None = None
    usage: TokenUsage | None = None
    svg_usage: SvgUsage | None = None


class Segments(ASGIResponse):
    """A JSON response that is sent segment by segment, each by reference."""

    __slots__ = ("_segments",)

    def __init__(self, segments: Sequence[Buffer], headers: dict[str, str]) -> None:
        length = sum(len(segment) for segment in segments)
        super().__init__(content_length=length, headers=headers, media_type="application/json", status_code=200)
        self._segments = segments

    async def send_body(self, send: Send, receive: Receive) -> None:
        """Send the segments. The server waits for a slow reader between them."""
        del receive
        last = len(self._segments) - 1
        for index, segment in enumerate(self._segments):
            event = {"type": "http.response.body", "body": segment, "more_body": index < last}
            await send(cast("HTTPResponseBodyEvent", event))


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLink:
    """The id of an image and, if the caller wants addresses, its address."""

    id: str
    url: str | None = None


def build_segments(delivery: Delivery, links: Sequence[ImageLink]) -> list[Buffer]:
    """Encode a delivery: its JSON, cut where the base64 of each image belongs."""
    generation = delivery.result.generation
    reply = ImagesReply(
        created=delivery.result.created,
        id=delivery.request_id,
        object="list",
        model=delivery.result.model,
        data=[],
        background=generation.background,
        output_format=generation.output_format or delivery.spec.output_format,
        quality=generation.tier,
        size=str(generation.size) if generation.size else None,
        usage=usage_reply(generation.usage) if generation.usage else None,
        svg_usage=generation.svg_usage,
    )
    # The reply is encoded without images. Each image is then inserted as three parts: fields, base64, closing brace.
    json_part, json_end = msgspec.json.encode(reply).split(b'"data":[]', 1)
    json_part += b'"data":['
    segments: list[Buffer] = []
    for index, (image, link) in enumerate(zip(generation.images, links, strict=True)):
        json_part += (b"," if index else b"") + _item_json(index, image, link)
        if link.url is None:
            segments += [json_part[:-1] + b',"b64_json":"', image.base64]
            json_part = b'"}'
    return [*segments, json_part + b"]" + json_end]


def _item_json(index: int, image: GeneratedImage, link: ImageLink) -> bytes:
    """Encode an item without its base64."""
    item = ImageItem(
        index=index,
        type="url" if link.url else "b64_json",
        id=link.id,
        url=link.url,
        revised_prompt=image.revised_prompt,
    )
    return msgspec.json.encode(item)


def usage_reply(usage: Usage) -> TokenUsage:
    """Convert the vendor's count of tokens into its wire form."""
    return TokenUsage(
        input_tokens=usage.tokens_in,
        input_tokens_details=TokenDetails(text_tokens=usage.text_in, image_tokens=usage.image_in),
        output_tokens=usage.tokens_out,
        output_tokens_details=TokenDetails(text_tokens=usage.text_out, image_tokens=usage.image_out),
        total_tokens=usage.tokens_in + usage.tokens_out,
    )
