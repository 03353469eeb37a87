"""Server-sent events of a streamed image request: previews and finished images.

Rule: an event is a list of chunks. The base64 of the vendor is one of them, by reference: it is never copied or joined.
OpenAI's clients cannot read a `completed` event without `usage`, so an event without counted tokens says 0.
"""

from collections.abc import Mapping, Sequence

import msgspec

from service.api.schemas.images_reply import TokenUsage, usage_reply
from service.domain.generation import Buffer, GeneratedImage, Preview, Usage
from service.domain.image_spec import Operation
from service.usecases.generate.delivery import Delivery

EVENT_PREFIXES: Mapping[Operation, str] = {Operation.GENERATE: "image_generation", Operation.EDIT: "image_edit"}
"""Operation → the first part of the names of its events."""

UNKNOWN_VALUE = "auto"
NO_USAGE = usage_reply(Usage())


class PreviewEvent(msgspec.Struct):
    """The data of a preview besides its base64."""

    created_at: int
    size: str
    quality: str
    background: str
    output_format: str
    partial_image_index: int


class ImageEvent(msgspec.Struct, omit_defaults=True):
    """The data of a finished image besides its base64."""

    created_at: int
    size: str
    quality: str
    background: str
    output_format: str
    usage: TokenUsage
    id: str
    index: int
    revised_prompt: str | None = None


def preview_event(event_prefix: str, preview: Preview, now: int) -> Sequence[Buffer]:
    """Encode a preview. `now` is the time of a preview whose vendor sends none, in Unix seconds."""
    event = PreviewEvent(
        created_at=preview.created or now,
        size=preview.size or UNKNOWN_VALUE,
        quality=preview.tier or UNKNOWN_VALUE,
        background=preview.background or UNKNOWN_VALUE,
        output_format=preview.output_format or "png",
        partial_image_index=preview.index,
    )
    return _encode_event(f"{event_prefix}.partial_image", preview.base64, event)


def image_event(event_prefix: str, delivery: Delivery, index: int) -> Sequence[Buffer]:
    """Encode a finished image. The last image of a delivery has the tokens of all of them."""
    result, generation = delivery.result, delivery.result.generation
    image: GeneratedImage = generation.images[index]
    last = index == len(generation.images) - 1
    event = ImageEvent(
        created_at=result.created,
        size=str(generation.size or UNKNOWN_VALUE),
        quality=generation.tier or UNKNOWN_VALUE,
        background=generation.background or UNKNOWN_VALUE,
        output_format=generation.output_format or delivery.spec.output_format,
        usage=usage_reply(generation.usage) if generation.usage and last else NO_USAGE,
        id=result.ids[index],
        index=index,
        revised_prompt=image.revised_prompt,
    )
    return _encode_event(f"{event_prefix}.completed", image.base64, event)


def _encode_event(name: str, base64: Buffer, event: msgspec.Struct) -> Sequence[Buffer]:
    head = f'event: {name}\ndata: {{"type":"{name}","b64_json":"'.encode()
    return [head, base64, b'",' + msgspec.json.encode(event)[1:] + b"\n\n"]
