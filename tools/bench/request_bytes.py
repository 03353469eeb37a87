"""Requests as bytes on the wire, with a placeholder where each request gets its number.

Rule: the number is as long as the placeholder, so lengths stay correct. It stands in the prompt.
"""

import json

from tests.simulators.images import Sketch, draw
from tools.bench.cases import EVENTS, REFERENCE_BYTES, REFERENCES, Case, Kind
from tools.bench.peers.peer import Peer

MARK = "@@@@@@@@@@@@"
BOUNDARY = "ece02c8ba8a74e6a9d4dd3f3e0a3e4bf"


def request(case: Case, peer: Peer) -> bytes:
    """Build head and body of a request to a peer."""
    content_type, body = _form(case) if case.kind is Kind.EDIT else _document(case)
    headers = {"content-type": content_type, "content-length": str(len(body)), **peer.headers(case)}
    lines = [
        f"POST {peer.path(case)} HTTP/1.1",
        "host: localhost",
        *(f"{name}: {text}" for name, text in headers.items()),
    ]
    return "\r\n".join((*lines, "", "")).encode() + body


def _fields(case: Case) -> dict[str, str]:
    return {"model": case.model, "prompt": f"a lighthouse at dusk, number {MARK}", "quality": "low"}


def _document(case: Case) -> tuple[str, bytes]:
    streamed = {"stream": True, "partial_images": EVENTS - 1} if case.kind is Kind.STREAM else {}
    return "application/json", json.dumps({**_fields(case), **streamed}).encode()


def _form(case: Case) -> tuple[str, bytes]:
    start = f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="'
    fields = "".join(f'{start}{name}"\r\n\r\n{text}\r\n' for name, text in _fields(case).items())
    files = b"".join(_file(start, index) for index in range(REFERENCES))
    return f"multipart/form-data; boundary={BOUNDARY}", fields.encode() + files + f"--{BOUNDARY}--\r\n".encode()


def _file(start: str, index: int) -> bytes:
    image = draw(Sketch(size=(64, 64), index=index, length=REFERENCE_BYTES))
    return f'{start}image[]"; filename="{index}.png"\r\ncontent-type: image/png\r\n\r\n'.encode() + image + b"\r\n"
