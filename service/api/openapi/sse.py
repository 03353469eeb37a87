"""What stands in an event of a stream, for the document.

Rule: schemas come from the structs that `streams.py` encodes, with the two fields that it splices in around the base64.
OpenAPI 3.1 has no word for a stream of events: the body is described as text whose content is a list of events, each
with a name and with data that are JSON, which is what 3.2 will call `itemSchema`.
"""

from typing import Any

import msgspec

from service.api.http.streams import ImageEvent, PreviewEvent
from service.api.openapi.components import COMPONENTS

Node = dict[str, Any]

EVENT_PREFIXES = {"createImage": "image_generation", "createImageEdit": "image_edit"}
EVENTS_TEXT = (
    "With `stream`: `partial_image` up to `partial_images` times, then `completed` with `usage`, once for each "
    "picture. What fails after the answer has begun is an event `error`. A line that begins with a "
    "colon says that there is nothing yet."
)


def _event_schema(name: str, kind: str) -> Node:
    data = {"type": "string", "contentMediaType": "application/json", "contentSchema": {"$ref": COMPONENTS + kind}}
    return {"type": "object", "required": ["event", "data"], "properties": {"event": {"const": name}, "data": data}}


EVENTS: dict[str, Node] = {
    operation: {
        "type": "string",
        "description": EVENTS_TEXT,
        "contentMediaType": "text/event-stream",
        "contentSchema": {
            "type": "array",
            "items": {
                "oneOf": [
                    _event_schema(f"{prefix}.partial_image", "PreviewEvent"),
                    _event_schema(f"{prefix}.completed", "ImageEvent"),
                    _event_schema("error", "ErrorReply"),
                ],
            },
        },
    }
    for operation, prefix in EVENT_PREFIXES.items()
}
"""Operation → the schema of its stream."""


def event_schemas() -> Node:
    """The named schemas of events' data."""
    _, schemas = msgspec.json.schema_components((PreviewEvent, ImageEvent), ref_template=COMPONENTS + "{name}")
    named: Node = schemas
    base64 = {"type": "string", "description": "Plain base64, without a data: prefix."}
    for kind, suffix in (("PreviewEvent", "partial_image"), ("ImageEvent", "completed")):
        names = [f"{prefix}.{suffix}" for prefix in EVENT_PREFIXES.values()]
        named[kind]["properties"] = {"type": {"type": "string", "enum": names}, "b64_json": base64} | named[kind][
            "properties"
        ]
        named[kind]["required"] = ["type", "b64_json", *named[kind]["required"]]
        named[kind]["description"] = named[kind]["description"].replace(" besides its base64", "")
    return named
