"""The page `/docs`: the OpenAPI document for people.

Rule: the page loads and sends nothing, and its headers forbid browsers to do so. `health_and_docs.py` renders the page
once, because rendering takes a tenth of a second and needs no key.
"""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec

from service.api.openapi.examples import FIRST_ERROR, ExampleRequest, Exchange, load_exchanges

ROOT = "https://YOUR_GATEWAY"
KEY_PLACEHOLDERS = {"admin": "ADMIN_KEY"}
LINE_CONTINUATION = " \\\n  "
HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


class CurlExample(msgspec.Struct, frozen=True, kw_only=True):
    """A request as a curl command, and its reply."""

    summary: str
    curl: str
    status: int
    reply: str


def render_page(api: Mapping[str, Any], path_up: str = "") -> str:
    """Render the page of a document. `path_up` leads from the page to the folder of the document."""
    from jinja2 import Environment, FileSystemLoader, select_autoescape  # noqa: PLC0415 (2 MB that few replicas need)

    pages = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "pages"),
        autoescape=select_autoescape(),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return pages.get_template("docs.html").render(api=api, up=path_up, root=ROOT, pairs=curl_examples(api))


def curl_examples(api: Mapping[str, Any]) -> dict[str, list[CurlExample]]:
    """Return the examples of each operation, by its id. Refusals stand with the errors."""
    examples: dict[str, list[CurlExample]] = {}
    for path, methods in api["paths"].items():
        for method, operation in methods.items():
            name = operation["operationId"]
            exchanges_of_operation = [
                exchange
                for exchange in load_exchanges()
                if exchange.operation == name and exchange.reply.status < FIRST_ERROR
            ]
            examples[name] = [_curl_example(exchange, method.upper(), path) for exchange in exchanges_of_operation]
    return examples


def _curl_example(exchange: Exchange, method: str, path: str) -> CurlExample:
    reply = exchange.reply
    head = "".join(f"{name}: {value}\n" for name, value in reply.headers.items())
    body = reply.body if isinstance(reply.body, str) else json.dumps(reply.body, indent=2, ensure_ascii=False)
    reply_text = body if reply.body is not None else f"(the bytes, {reply.media_type})"
    return CurlExample(
        summary=exchange.summary,
        curl=to_curl(exchange.request, method, path),
        status=reply.status,
        reply=f"{head}\n{reply_text}" if head else reply_text,
    )


def to_curl(request: ExampleRequest, method: str, path: str) -> str:
    """Write a request as a curl command."""
    for name, value in request.path.items():
        path = path.replace(f"{{{name}}}", value)
    address = f"{ROOT}{path}" + (f"?{urlencode(request.query)}" if request.query else "")
    has_body = request.media_type is not None
    words = [f"curl {shlex.quote(address)}"]
    words += [f"-X {method}"] if method not in ({"POST"} if has_body else {"GET"}) else []
    words += (
        [f'-H "Authorization: Bearer {KEY_PLACEHOLDERS.get(request.caller, "YOUR_KEY")}"']
        if request.caller != "without_key"
        else []
    )
    words += [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in request.headers.items()]
    return LINE_CONTINUATION.join(words + _curl_body(request))


def _curl_body(request: ExampleRequest) -> list[str]:
    if request.media_type == "application/json":
        return [
            '-H "Content-Type: application/json"',
            f"-d {shlex.quote(json.dumps(request.body, ensure_ascii=False))}",
        ]
    fields = request.body if request.media_type else {}
    listed = [
        (name, item) for name, value in fields.items() for item in (value if isinstance(value, list) else [value])
    ]
    return [f"-F {shlex.quote(f'{name}={value}')}" for name, value in listed]
