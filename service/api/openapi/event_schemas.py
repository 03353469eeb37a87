"""Schemas of server-sent events in the OpenAPI document.

Rule: schemas come from the structs that `schemas/image_events.py` encodes, and from the two fields that it writes
around the base64. OpenAPI 3.1 has no word for a stream of events. The body is therefore text whose content is a
list of events, each with a name and with JSON data; OpenAPI 3.2 calls this `itemSchema`.
"""

from typing import Any

import msgspec

from service.api.openapi.components import COMPONENTS
from service.api.schemas.image_events import EVENT_PREFIXES, ImageEvent, PreviewEvent
from service.domain.image_spec import Operation

Node = dict[str, Any]

OPERATIONS = {"createImage": Operation.GENERATE, "createImageEdit": Operation.EDIT}
EVENTS_TEXT = (
    "With `stream`: `partial_image` up to `partial_images` times, then `completed` with `usage`, once for each "
    "image. A failure after the response has started is an event `error`. A line that begins with a colon is a "
    "keepalive."
)


def _event_schema(name: str, kind: str) -> Node:
    data = {"type": "string", "contentMediaType": "application/json", "contentSchema": {"$ref": COMPONENTS + kind}}
    return {"type": "object", "required": ["event", "data"], "properties": {"event": {"const": name}, "data": data}}


EVENTS: dict[str, Node] = {
    operation_id: {
        "type": "string",
        "description": EVENTS_TEXT,
        "contentMediaType": "text/event-stream",
        "contentSchema": {
            "type": "array",
            "items": {
                "oneOf": [
                    _event_schema(f"{EVENT_PREFIXES[operation]}.partial_image", "PreviewEvent"),
                    _event_schema(f"{EVENT_PREFIXES[operation]}.completed", "ImageEvent"),
                    _event_schema("error", "ErrorReply"),
                ],
            },
        },
    }
    for operation_id, operation in OPERATIONS.items()
}
"""Operation id → the schema of its stream."""


def event_schemas() -> Node:
    """Build the named schemas of the data of events."""
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
