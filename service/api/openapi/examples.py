"""Examples of the OpenAPI document: requests, and the replies of a gateway.

Rule: `examples.json` has exchanges in order. A test sends each request to a running gateway and compares the reply, so
no example is invented. A request and its reply have one name. A refused request is described in words beside its
refusal, because it is no example to follow. `@otter.png` in a form stands for the content of a file, as in curl's `-F`.
Values that differ each time are replaced as in `tools/openapi/steady.py`. Ids are counted, all times are one time, and
base64 is cut short.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from service.api.openapi.texts import ERROR_TEXTS

Node = dict[str, Any]

FIRST_ERROR = 400
FILE = Path(__file__).parent / "examples.json"


class ExampleRequest(msgspec.Struct, kw_only=True, omit_defaults=True, frozen=True, forbid_unknown_fields=True):
    """A request. `caller` names its key. With a media type it has a body, which may be raw text."""

    caller: str = "team"
    path: Mapping[str, str] = {}
    query: Mapping[str, str | int] = {}
    headers: Mapping[str, str] = {}
    media_type: str | None = None
    body: Any = None


class ExampleReply(msgspec.Struct, kw_only=True, omit_defaults=True, frozen=True, forbid_unknown_fields=True):
    """A reply. Binary bodies are left out."""

    status: int
    media_type: str | None = None
    headers: Mapping[str, str] = {}
    body: Any = None


class Exchange(msgspec.Struct, kw_only=True, omit_defaults=True, frozen=True, forbid_unknown_fields=True):
    """One request and its reply. The reply of a `held` exchange is read to its end after the next exchange."""

    operation: str
    name: str
    summary: str
    request: ExampleRequest
    reply: ExampleReply
    held: bool = False


@cache
def load_exchanges() -> tuple[Exchange, ...]:
    """Read all exchanges, in order."""
    return msgspec.json.decode(FILE.read_bytes(), type=tuple[Exchange, ...])


def add_examples(operations: Mapping[str, Node], components: Node) -> None:
    """Put the exchanges of these operations into the document."""
    for exchange in load_exchanges():
        if exchange.operation in operations:
            if exchange.reply.status < FIRST_ERROR:
                _add_request(operations[exchange.operation], exchange)
            _add_reply(operations[exchange.operation], components, exchange)


def _add_request(operation: Node, exchange: Exchange) -> None:
    request = exchange.request
    values: dict[tuple[str, str], str | int] = {("path", name): value for name, value in request.path.items()}
    values |= {("query", name): value for name, value in request.query.items()}
    values |= {("header", name.lower()): value for name, value in request.headers.items()}
    for parameter in operation.get("parameters", ()):
        location = (parameter["in"], parameter["name"].lower() if parameter["in"] == "header" else parameter["name"])
        if location in values:
            parameter.setdefault("examples", {})[exchange.name] = {"value": values[location]}
    if request.media_type:
        _put(operation["requestBody"]["content"][request.media_type], exchange, request.body)


def _add_reply(operation: Node, components: Node, exchange: Exchange) -> None:
    reply = exchange.reply
    if reply.body is None or reply.media_type is None:
        return
    response = operation["responses"][str(reply.status)]
    if "$ref" in response:
        response = components["responses"][ERROR_TEXTS[reply.status].name]
    _put(response["content"][reply.media_type], exchange, reply.body)
    if reply.status >= FIRST_ERROR:
        response["content"][reply.media_type]["examples"][exchange.name]["description"] = _describe_request(exchange)


def _put(media: Node, exchange: Exchange, value: object) -> None:
    media.setdefault("examples", {})[exchange.name] = {"summary": exchange.summary, "value": value}


def _describe_request(exchange: Exchange) -> str:
    """Describe a refused request in words."""
    request = exchange.request
    parameters = {"path": request.path, "query": request.query, "headers": request.headers, "body": request.body}
    words = [f"{place} `{_to_text(what)}`" for place, what in parameters.items() if what]
    return f"To `{exchange.operation}`{': ' if words else ''}{', '.join(words)}"


def _to_text(what: object) -> str:
    return what if isinstance(what, str) else msgspec.json.encode(what).decode()
