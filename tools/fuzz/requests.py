"""Targets: requests of callers. Bytes in; a result or a declared refusal out, everything else is a finding.

Rule: the module imports the standard library, the gateway and its dependencies only. The reason is that atheris runs
the targets in an environment of its own.
"""

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from typing import cast

from service.adapters.uploads import FileUploads
from service.api.http.bodies import ArrivalLimits, BodyLimits
from service.api.http.body_to_spec import edit_references, generation_references, to_spec
from service.api.http.multipart import EDIT_FORM, FILE_FORM, Form, FormParts, read_form
from service.api.http.request_context import Http
from service.api.http.request_headers import read_keepalive, read_tags
from service.api.schemas.requests import EditBody, EditForm, FileForm, GenerateBody, decode_form, decode_json
from service.domain.byte_ranges import parse_range
from service.domain.cache_directives import parse_cache_directives
from service.domain.errors import GatewayError, RequestError
from service.domain.image_spec import Spec, fingerprint
from service.domain.signed_urls import check_signature
from service.domain.stored_images import clean_filename, owned_stored_name
from service.domain.team_access import UNRESTRICTED_TEAM, authenticate
from service.domain.time_ranges import parse_moment
from tools.fuzz.input import pieces, texts

MAX_BYTES = 1 << 20
PACE = ArrivalLimits(idle_seconds=60, body_seconds=60, min_bytes_per_second=0)
LIMITS = BodyLimits(max_json_bytes=MAX_BYTES, max_form_bytes=MAX_BYTES, arrival=PACE)
UPLOADS = FileUploads(max_bytes=MAX_BYTES)
BOUNDARY = "x"
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY}"


class Sent:
    """A request with the attributes that readers of bodies use."""

    def __init__(self, body: Iterator[bytes], content_type: str) -> None:
        self.headers = {"content-type": content_type}
        self.scope: dict[str, object] = {}
        self._body = body

    async def receive(self) -> dict[str, object]:
        """Return the next piece of the body. The last is empty, as with servers."""
        piece = next(self._body, b"")
        return {"type": "http.request", "body": piece, "more_body": bool(piece)}


@cache
def loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


def read(body: bytes, size: int, parts: FormParts, content_type: str = CONTENT_TYPE) -> Form:
    """Read a form that arrives in pieces of `size`. Raises `RequestError`."""
    sent = cast("Http", Sent(pieces(body, size), content_type))
    return loop().run_until_complete(read_form(sent, LIMITS, parts, UPLOADS))


def seen(form: Form) -> object:
    """Return the parts of a form that matter."""
    single = {name: image.digest for name, image in form.single.items()}
    return form.texts, [image.digest for image in form.images], single, form.filenames


def outcome(body: bytes, size: int, parts: FormParts) -> object:
    """Return the form's parts, or the class of its refusal."""
    try:
        return seen(read(body, size, parts))
    except RequestError as refused:
        return type(refused)


def form(data: bytes) -> None:
    """The cut into pieces does not change the form. A form that is read becomes a spec or is refused.

    The parser sees the bytes before the first boundary piece by piece. No client sends any.
    """
    size, body = data[0] + 1 if data else 1, data[1:]
    begins = body.startswith(f"--{BOUNDARY}".encode())
    for parts, kind in ((EDIT_FORM, EditForm), (FILE_FORM, FileForm)):
        cut = outcome(body, size, parts)
        assert not begins or cut == outcome(body, MAX_BYTES, parts)
        with suppress(RequestError):
            whole = read(body, MAX_BYTES, parts)
            fields = decode_form(whole.texts, kind)
            if isinstance(fields, EditForm):
                check(to_spec(fields, UNRESTRICTED_TEAM, references=whole.images), whole.texts["prompt"])


def body(data: bytes) -> None:
    """A JSON body becomes a spec or is refused. A body that is accepted is JSON to other parsers, with equal values."""
    with suppress(RequestError):
        generation = decode_json(data, GenerateBody)
        references = generation_references(generation, UPLOADS)
        check(to_spec(generation, UNRESTRICTED_TEAM, references=references), read_prompt(data))
    with suppress(RequestError):
        edit = decode_json(data, EditBody)
        input_images, mask = edit_references(edit, UNRESTRICTED_TEAM, UPLOADS)
        check(to_spec(edit, UNRESTRICTED_TEAM, references=input_images, mask=mask), read_prompt(data))


def read_prompt(data: bytes) -> object:
    """Return the prompt that Python's decoder finds. Tokens that the gateway need not understand may not be UTF-8."""
    return json.loads(data.decode("utf-8-sig", errors="replace"))["prompt"]


def check(spec: Spec, prompt: object) -> None:
    """Check what holds for every spec."""
    assert spec.prompt == prompt
    assert 1 <= spec.n <= 10
    assert fingerprint(spec) == fingerprint(spec)
    assert spec.size is None or spec.size.pixels > 0


def headers(data: bytes) -> None:
    """Every header and parameter with a parser of ours is understood or refused."""
    text, other, *_ = (*texts(data), "", "")
    names = ("cache-control", "x-gateway-variant", "idempotency-key", "x-stainless-retry-count", "x-gateway-keepalive")
    for name in names:
        with suppress(RequestError):
            terms = parse_cache_directives({name: text})
            assert terms.idempotency_key is None or terms.idempotency_key.isprintable()
        with suppress(RequestError):
            read_keepalive({name: text}, UNRESTRICTED_TEAM)
    with suppress(RequestError):
        assert read_tags(text, {"project"}).keys() <= {"project"}
    with suppress(GatewayError):
        part = parse_range(text, 100)
        assert part is None or 0 <= part.start < part.end <= 100
    with suppress(RequestError):
        assert parse_moment(text, "since").tzinfo is not None
    with suppress(GatewayError):
        authenticate(text, {}, parse_moment("2026-01-01", ""))
        raise AssertionError("let in without a key")
    with suppress(GatewayError):
        check_signature((b"0123456789abcdef" * 2,), text, other, "0" * 64, 0)
        raise AssertionError("a link that nobody signed is good")
    assert "/" not in clean_filename(text)
    assert clean_filename(text).isprintable()
    owned = owned_stored_name("team", text)
    assert owned is None or ("/" not in owned and owned.startswith(text))
