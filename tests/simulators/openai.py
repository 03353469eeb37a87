"""OpenAI's Images API: replies to requests, and failures as ready answers.

Rule: `respond` is a function of the request and the defaults (and the clock, for `created`). Every refusal has the
vendor's envelope. `docs/vendors.md` has the sources of the texts and numbers.
"""

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec

from tests.simulators.exchange import Reply
from tests.simulators.images import Sketch, encode_image, parse_size
from tests.simulators.openai_faults import FAULTS, INVALID_KEY, envelope
from tests.simulators.openai_models import (
    MODELS,
    PARTIAL_TOKENS,
    Family,
    image_tokens,
    prompt_tokens,
    reference_tokens,
)
from tests.simulators.openai_rules import Ask, Refused, check_request
from tests.simulators.recording import Recorded
from tests.simulators.server import Answer, Defaults, Simulator

__all__ = ["FAULTS", "Answer", "Defaults", "respond", "simulator"]

MODEL_CREATED = 1_776_729_600
SVG_TOKENS = {"input_tokens": 40, "output_tokens": 900, "reasoning_tokens": 200, "total_tokens": 940}
SVG_MODEL = "gpt-5"
_numbers = itertools.count(1)


def simulator(*, defaults: Defaults | None = None, port: int = 0, remember: int = 10_000) -> Simulator:
    """Build an OpenAI simulator, a context manager."""
    return Simulator(respond, defaults=defaults, port=port, remember=remember)


def respond(request: Recorded, defaults: Defaults) -> Reply:
    """Return OpenAI's reply."""
    try:
        _check_key(request, defaults.keys)
        return _route(request)(request, defaults)
    except Refused as refused:
        kind = "invalid_request_error"
        body = envelope(refused.message, kind=kind, param=refused.param, code=refused.code)
        return Reply(status=refused.status, headers=_headers(), chunks=(body,))


def _check_key(request: Recorded, keys: frozenset[str]) -> None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        message = "You didn't provide an API key. Provide it in an Authorization header using Bearer auth."
        raise Refused(message, code="invalid_api_key", status=HTTPStatus.UNAUTHORIZED)
    if keys and key.strip() not in keys:
        raise Refused(INVALID_KEY, code="invalid_api_key", status=HTTPStatus.UNAUTHORIZED)


def _route(request: Recorded) -> Callable[[Recorded, Defaults], Reply]:
    if request.method == "GET" and request.path.startswith("/v1/models/"):
        return _model
    route = ROUTES.get((request.method, request.path))
    if route is None:
        message = f"Unknown request URL: {request.method} {request.path}. Please check the URL for typos."
        raise Refused(message, code="unknown_url", status=HTTPStatus.NOT_FOUND)
    return route


def _headers(kind: str = "application/json") -> dict[str, str]:
    return {
        "content-type": kind,
        "x-request-id": f"req_{next(_numbers):032x}",
        "openai-processing-ms": "12",
        "openai-organization": "org-simulator",
        "openai-version": "2020-10-01",
        "x-ratelimit-limit-requests": "500",
        "x-ratelimit-remaining-requests": "499",
        "x-ratelimit-reset-requests": "120ms",
        "x-ratelimit-limit-tokens": "800000",
        "x-ratelimit-remaining-tokens": "799000",
        "x-ratelimit-reset-tokens": "1s",
    }


def _json(document: object) -> Reply:
    return Reply(status=HTTPStatus.OK, headers=_headers(), chunks=(msgspec.json.encode(document),))


def _entry(name: str, family: Family) -> dict[str, object]:
    entry: dict[str, object] = {"id": name, "object": "model", "created": MODEL_CREATED, "owned_by": "system"}
    return entry | ({"shutdown_date": family.shutdown} if family.shutdown else {})


def _models(_request: Recorded, _defaults: Defaults) -> Reply:
    return _json({"object": "list", "data": [_entry(name, family) for name, family in MODELS.items()]})


def _model(request: Recorded, _defaults: Defaults) -> Reply:
    name = request.path.removeprefix("/v1/models/")
    if name not in MODELS:
        message = f"The model '{name}' does not exist"
        raise Refused(message, param="model", code="model_not_found", status=HTTPStatus.NOT_FOUND)
    return _json(_entry(name, MODELS[name]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """An accepted request: `auto` is decided, and the tokens of one image are counted."""

    ask: Ask
    family: Family
    size: str
    quality: str
    background: str
    event: str
    image_bytes: int

    def sketch(self, index: int) -> Sketch:
        """Return the sketch of image number `index`."""
        return Sketch(
            size=parse_size(self.size),
            form=self.ask["output_format"],
            alpha=self.background == "transparent",
            index=index,
            frames=(self.ask["frame_count"] or 9) if self.ask["output_format"] == "gif" else 1,
            length=self.image_bytes,
        )

    def describe(self) -> dict[str, object]:
        """Return the fields that describe the images of a reply."""
        return {
            "background": self.background,
            "output_format": self.ask["output_format"],
            "quality": self.quality,
            "size": self.size,
        }

    def usage(self, images: int, partials: int = 0) -> dict[str, Any]:
        """Count the tokens. Each image is a separate run and pays for its inputs again."""
        references = len(self.ask["images"] or ()) + sum(self.ask[name] is not None for name in ("mask", "markup"))
        text = images * prompt_tokens(self.ask["prompt"])
        image = images * references * reference_tokens(self.family, self.ask["input_fidelity"])
        made = images * image_tokens(self.family, self.quality, self.size) + partials * PARTIAL_TOKENS
        return {
            "input_tokens": text + image,
            "input_tokens_details": {"text_tokens": text, "image_tokens": image},
            "output_tokens": made,
            "output_tokens_details": {"image_tokens": made, "text_tokens": 0},
            "total_tokens": text + image + made,
        }

    def echo(self) -> dict[str, object]:
        """Return the effective identifier."""
        identifier = self.ask["safety_identifier"] or self.ask["user"]
        return {"safety_identifier": identifier} if identifier else {}


def _generations(request: Recorded, defaults: Defaults) -> Reply:
    return _respond_with_images(request, defaults, edit=False)


def _edits(request: Recorded, defaults: Defaults) -> Reply:
    return _respond_with_images(request, defaults, edit=True)


def _respond_with_images(request: Recorded, defaults: Defaults, *, edit: bool) -> Reply:
    ask, family = check_request(request, edit=edit)
    job = Job(
        ask=ask,
        family=family,
        size=defaults.auto_size if ask["size"] == "auto" else ask["size"],
        quality=defaults.auto_quality if ask["quality"] == "auto" else ask["quality"],
        background="transparent" if ask["background"] == "transparent" else "opaque",
        event="image_edit" if edit else "image_generation",
        image_bytes=defaults.image_bytes,
    )
    if ask["stream"]:
        return Reply(status=HTTPStatus.OK, headers=_headers("text/event-stream"), chunks=tuple(_frames(job)))
    return _json(_document(job))


def _document(job: Job) -> dict[str, object]:
    document = {"created": int(time.time())} | job.describe()
    document["data"] = [{"b64_json": _quote(job.sketch(index))} for index in range(job.ask["n"])]
    document["usage"] = job.usage(job.ask["n"])
    if job.ask["output_format"] == "svg":
        document["svg_usage"] = {"model": (job.ask["svg"] or {}).get("model", SVG_MODEL)} | SVG_TOKENS
    return document | job.echo()


def _quote(sketch: Sketch) -> msgspec.Raw:
    """Return base64 as a JSON string, without a scan for characters to escape."""
    return msgspec.Raw(b'"%s"' % encode_image(sketch))


def _frames(job: Job) -> Iterator[bytes]:
    """Yield the events of every image in turn, each with its own usage."""
    partials = job.ask["partial_images"]
    for index in range(job.ask["n"]):
        for number in range(partials):
            yield _frame(job, f"{job.event}.partial_image", index, {"partial_image_index": number})
        usage = job.usage(1, partials)
        del usage["output_tokens_details"]
        yield _frame(job, f"{job.event}.completed", index, {"usage": usage} | job.echo())


def _frame(job: Job, event: str, index: int, more: Mapping[str, object]) -> bytes:
    document = {"type": event, "b64_json": _quote(job.sketch(index)), "created_at": int(time.time())}
    return b"event: %s\ndata: %s\n\n" % (event.encode(), msgspec.json.encode({**document, **job.describe(), **more}))


ROUTES: Mapping[tuple[str, str], Callable[[Recorded, Defaults], Reply]] = {
    ("POST", "/v1/images/generations"): _generations,
    ("POST", "/v1/images/edits"): _edits,
    ("GET", "/v1/models"): _models,
}
