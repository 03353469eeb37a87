"""Requests at a simulator, as values.

Rule: a request is read to its end and never refused here. `malformed` has the reason of a request that cannot be
parsed, and the vendor refuses it. Uploads are hashed while they arrive. The bytes of those above `KEPT` are dropped.
"""

import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

MAX_STORED_BYTES = 1_000_000
HEAD = 16

parse_type = parse_options_header
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]


class HungUp(Exception):
    """The client disconnected in the middle of its request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedFile:
    """One file of a form. `head` is its first bytes. `body` is None above `KEPT`."""

    part_name: str
    filename: str
    content_type: str
    length: int
    sha256: str
    head: bytes
    body: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One request. `fields` is the JSON object, or a form's text parts (a repeated name has a list)."""

    method: str
    path: str
    headers: Mapping[str, str]
    content_type: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    files: tuple[RecordedFile, ...] = ()
    raw_length: int = 0
    malformed: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Content:
    fields: dict[str, Any] = field(default_factory=dict)
    files: tuple[RecordedFile, ...] = ()
    raw_length: int = 0
    malformed: str | None = None


class _Part:
    """A part of a form while it arrives."""

    def __init__(self, segment: MultipartSegment) -> None:
        self.segment = segment
        self.length = 0
        self.digest = hashlib.sha256()
        self.head_and_body = bytearray()

    def feed(self, data: bytes) -> None:
        self.length += len(data)
        self.digest.update(data)
        room = MAX_STORED_BYTES if self.length <= MAX_STORED_BYTES else HEAD
        self.head_and_body += data[: max(room - len(self.head_and_body), 0)]
        del self.head_and_body[room:]

    def text(self) -> str:
        return self.head_and_body.decode(errors="replace")

    def file(self) -> RecordedFile:
        return RecordedFile(
            part_name=self.segment.name or "",
            filename=self.segment.filename or "",
            content_type=self.segment.content_type or "",
            length=self.length,
            sha256=self.digest.hexdigest(),
            head=bytes(self.head_and_body[:HEAD]),
            body=bytes(self.head_and_body) if self.length <= MAX_STORED_BYTES else None,
        )


async def record(scope: Message, receive: Receive) -> Recorded:
    """Read a request to its end."""
    headers = _headers(scope["headers"])
    kind, options = parse_type(headers.get("content-type", ""))
    chunks = _chunks(receive)
    is_form = kind == "multipart/form-data" and options.get("boundary")
    content = await (_form(chunks, options["boundary"]) if is_form else _document(chunks, kind))
    return Recorded(
        method=scope["method"],
        path=scope["path"],
        headers=headers,
        content_type=kind,
        fields=content.fields,
        files=content.files,
        raw_length=content.raw_length,
        malformed=content.malformed,
    )


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in raw:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


async def _chunks(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise HungUp
        more = message.get("more_body", False)
        if message["body"]:
            yield message["body"]


async def _document(chunks: AsyncIterator[bytes], kind: str) -> _Content:
    body = b"".join([chunk async for chunk in chunks])
    if kind != "application/json":
        return _Content(raw_length=len(body), malformed=f"Unsupported content type: '{kind}'." if body else None)
    fields, malformed = _decode(body)
    return _Content(fields=fields, raw_length=len(body), malformed=malformed)


def _decode(body: bytes) -> tuple[dict[str, Any], str | None]:
    try:
        document = json.loads(body, object_pairs_hook=_unique, parse_constant=_no_constant)
    except ValueError as error:
        return {}, f"We could not parse the JSON body of your request: {error}"
    if not isinstance(document, dict):
        return {}, "The JSON body of your request is not an object."
    return document, None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    for name in set(names):
        if names.count(name) > 1:
            raise ValueError(f"duplicate key '{name}'")
    return dict(pairs)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


async def _form(chunks: AsyncIterator[bytes], boundary: str) -> _Content:
    parts: list[_Part] = []
    length, problem = 0, None
    parser = PushMultipartParser(boundary)
    async for chunk in chunks:
        length += len(chunk)
        problem = problem or _feed(parser, parts, chunk)
    problem = problem or _feed(parser, parts, b"")
    return _Content(
        fields=_texts(part for part in parts if part.segment.filename is None),
        files=tuple(part.file() for part in parts if part.segment.filename is not None),
        raw_length=length,
        malformed=problem,
    )


def _feed(parser: PushMultipartParser, parts: list[_Part], chunk: bytes) -> str | None:
    """Push bytes to the parser, none at the end. Returns the fault, if any."""
    try:
        for event in parser.parse(chunk):
            if isinstance(event, MultipartSegment):
                parts.append(_Part(event))
            elif event:
                parts[-1].feed(event)
    except MultipartError as error:
        return f"We could not parse the multipart form of your request: {error}"
    return None


def _texts(parts: Iterable[_Part]) -> dict[str, Any]:
    texts: dict[str, Any] = {}
    for part in parts:
        name, text = part.segment.name or "", part.text()
        earlier = texts.get(name)
        texts[name] = text if earlier is None else [*(earlier if isinstance(earlier, list) else [earlier]), text]
    return texts
