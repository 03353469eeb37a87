"""Together's image endpoint: replies to requests, and failures as ready answers.

Rule: unlike OpenAI it ignores unknown fields (the record has them) and takes `base64` as a format. It draws jpeg by
default, and reports neither size nor usage. Partner-hosted `openai/*` models follow OpenAI's size rules. Kontext models
take an aspect ratio and no edges.
"""

import itertools
import math
import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec

from tests.simulators.exchange import Reply
from tests.simulators.images import Sketch, encode_image
from tests.simulators.openai_rules import Refused, check_size
from tests.simulators.recording import Recorded
from tests.simulators.server import Answer, Defaults, Simulator

PATH = "/v1/images/generations"
MODELS = frozenset(
    {
        "openai/gpt-image-2",
        "openai/gpt-image-1.5",
        "google/flash-image-2.5",
        "google/gemini-3-pro-image",
        "google/flash-image-3.1",
        "google/flash-image-3.1-lite",
        "black-forest-labs/FLUX.2-pro",
        "black-forest-labs/FLUX.2-dev",
        "black-forest-labs/FLUX.2-flex",
        "black-forest-labs/FLUX.2-max",
        "black-forest-labs/FLUX.1.1-pro",
        "black-forest-labs/FLUX.1-kontext-pro",
        "black-forest-labs/FLUX.1-kontext-max",
        "ByteDance-Seed/Seedream-3.0",
        "ByteDance-Seed/Seedream-4.0",
        "ByteDance/Seedream-5.0-lite",
        "Qwen/Qwen-Image",
        "Qwen/Qwen-Image-2.0",
        "Qwen/Qwen-Image-2.0-Pro",
        "Wan-AI/Wan2.6-image",
        "ideogram/ideogram-3.0",
        "ideogram/ideogram-4.0",
        "RunDiffusion/Juggernaut-pro-flux",
        "Rundiffusion/Juggernaut-Lightning-Flux",
        "stabilityai/stable-diffusion-xl-base-1.0",
    }
)
WITHDRAWN = frozenset({"black-forest-labs/FLUX.1-schnell", "black-forest-labs/FLUX.1-dev"})
EDGE, STEP = (256, 1920), 8
MEGAPIXEL = 1_048_576
GRAIN = 16

FIELDS: Mapping[str, tuple[type, ...]] = {
    "model": (str,),
    "prompt": (str,),
    "width": (int,),
    "height": (int,),
    "n": (int,),
    "steps": (int,),
    "seed": (int,),
    "negative_prompt": (str,),
    "guidance_scale": (int, float),
    "image_url": (str,),
    "reference_images": (list,),
    "response_format": (str,),
    "output_format": (str,),
    "image_loras": (list,),
    "disable_safety_checker": (bool,),
    "aspect_ratio": (str,),
    "prompt_upsampling": (bool,),
}
DEFAULTS: dict[str, Any] = dict.fromkeys(FIELDS) | {"n": 1, "response_format": "url", "output_format": "jpeg"}
RANGES: Mapping[str, tuple[int, int]] = {"n": (1, 4), "steps": (1, 50)}
ENUMS: Mapping[str, tuple[str, ...]] = {"response_format": ("base64", "url"), "output_format": ("jpeg", "png")}

_numbers = itertools.count(1)


def simulator(*, defaults: Defaults | None = None, port: int = 0) -> Simulator:
    """Build a Together simulator, a context manager."""
    return Simulator(respond, defaults=defaults, port=port)


def respond(request: Recorded, defaults: Defaults) -> Reply:
    """Return Together's reply."""
    try:
        _check_key(request)
        if (request.method, request.path) != ("POST", PATH):
            raise _refused(
                "Unable to find the requested endpoint.", None, status=HTTPStatus.NOT_FOUND, code="not_found"
            )
        return _respond_with_images(_check_request(request), defaults)
    except Refused as refused:
        body = envelope(refused.message, param=refused.param, code=refused.code)
        return Reply(status=refused.status, headers=_headers(), chunks=(body,))


def envelope(message: str, *, kind: str = "invalid_request_error", **more: Any) -> bytes:
    """Build the error document. `param` and `code` may be absent."""
    known = {name: value for name, value in more.items() if value is not None}
    return msgspec.json.encode({"error": {"message": message, "type": kind, **known}})


def _headers() -> dict[str, str]:
    return {"content-type": "application/json", "x-ratelimit-limit": "60", "x-ratelimit-remaining": "59"}


def _refused(message: str, param: str | None, *, status: int = 400, code: str | None = None) -> Refused:
    return Refused(message, param=param, code=code, status=status)


def _check_key(request: Recorded) -> None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise _refused("Missing API key.", None, status=HTTPStatus.UNAUTHORIZED, code="invalid_api_key")


def _check_request(request: Recorded) -> dict[str, Any]:
    """Return the request with every default filled in. Unknown fields are left out."""
    if request.malformed or request.content_type != "application/json":
        raise _refused(request.malformed or "Expected a JSON body.", None)
    ask = DEFAULTS | {name: value for name, value in request.fields.items() if name in FIELDS and value is not None}
    for name, value in ask.items():
        if value is not None and type(value) not in FIELDS[name]:
            raise _refused(f"Invalid type for '{name}'.", name)
    for name in ("model", "prompt"):
        if not ask[name]:
            raise _refused(f"'{name}' is required.", name)
    _check_model(ask["model"])
    _check_values(ask)
    return ask


def _check_model(model: str) -> None:
    if model in WITHDRAWN:
        message = (
            f"Unable to access non-serverless model {model}. Please visit https://api.together.ai/models/{model} "
            "to create and start a new dedicated endpoint for the model."
        )
        raise _refused(message, "model", code="model_not_available")
    if model not in MODELS:
        message = f"Unable to access model {model}. Please visit https://api.together.ai/models to view the list."
        raise _refused(message, "model", status=HTTPStatus.NOT_FOUND, code="model_not_found")


def _check_values(ask: Mapping[str, Any]) -> None:
    for name, (least, most) in RANGES.items():
        if ask[name] is not None and not least <= ask[name] <= most:
            raise _refused(f"'{name}' must be between {least} and {most}.", name)
    for name, values in ENUMS.items():
        if ask[name] not in values:
            raise _refused(f"'{name}' must be one of {', '.join(values)}.", name)
    if any(not isinstance(url, str) for url in ask["reference_images"] or ()):
        raise _refused("'reference_images' must be an array of URLs.", "reference_images")


def _size(ask: Mapping[str, Any]) -> tuple[int, int]:
    if "kontext" in ask["model"]:
        return _kontext_size(ask)
    size = ask["width"] or 1024, ask["height"] or 1024
    if ask["model"].startswith("openai/"):
        check_size("{}x{}".format(*size))
        return size
    for name, edge in zip(("width", "height"), size, strict=True):
        if edge % STEP or not EDGE[0] <= edge <= EDGE[1]:
            raise _refused(f"'{name}' must be a multiple of 8 between 256 and 1920, but is {edge}.", name)
    return size


def _kontext_size(ask: Mapping[str, Any]) -> tuple[int, int]:
    """Return about a megapixel in the requested ratio."""
    for name in ("width", "height"):
        if ask[name] is not None:
            raise _refused(f"'{name}' is not supported for this model. Use 'aspect_ratio'.", name)
    sides = re.fullmatch(r"([1-9]\d{0,3}):([1-9]\d{0,3})", ask["aspect_ratio"] or "1:1")
    if not sides:
        raise _refused("'aspect_ratio' must look like 16:9.", "aspect_ratio")
    ratio = int(sides[1]) / int(sides[2])
    return _grain(math.sqrt(MEGAPIXEL * ratio)), _grain(math.sqrt(MEGAPIXEL / ratio))


def _grain(edge: float) -> int:
    return max(GRAIN, round(edge / GRAIN) * GRAIN)


def _respond_with_images(ask: Mapping[str, Any], defaults: Defaults) -> Reply:
    call, size = f"oFuwv7Y-2kFHot-{next(_numbers):016x}", _size(ask)
    item = ITEMS[ask["response_format"]]
    sketches = [
        Sketch(size=size, form=ask["output_format"], index=index, length=defaults.image_bytes)
        for index in range(ask["n"])
    ]
    data = [{"index": index, **item(sketch, f"{call}-{index}")} for index, sketch in enumerate(sketches)]
    document = {"id": call, "model": ask["model"], "object": "list", "data": data}
    return Reply(status=HTTPStatus.OK, headers=_headers(), chunks=(msgspec.json.encode(document),))


def _by_bytes(sketch: Sketch, _name: str) -> dict[str, object]:
    return {"type": "b64_json", "b64_json": msgspec.Raw(b'"%s"' % encode_image(sketch))}


def _by_url(_sketch: Sketch, name: str) -> dict[str, object]:
    return {"type": "url", "url": f"https://api.together.ai/shrt/{name}"}


ITEMS: Mapping[str, Callable[[Sketch, str], dict[str, object]]] = {"base64": _by_bytes, "url": _by_url}


def _failure(status: int, message: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> Answer:
    always = {"content-type": "application/json"}
    return Answer(status=status, headers=always | dict(headers or {}), body=envelope(message, **more))


def _limited(kind: str) -> Answer:
    headers = {"x-ratelimit-limit": "60", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "7"}
    message = "Request was rejected due to dynamic rate limiting. Please retry later."
    return _failure(429, message, headers=headers, kind="rate_limit", error_type=kind, code="rate_limit")


FAULTS: Mapping[str, Answer] = {
    "bad_parameter": _failure(400, "'steps' must be between 1 and 50.", param="steps"),
    "non_serverless": _failure(
        400,
        "Unable to access non-serverless model openai/gpt-image-2. Please visit "
        "https://api.together.ai/models/openai/gpt-image-2 to create and start a new dedicated endpoint for the model.",
        code="model_not_available",
    ),
    "invalid_api_key": _failure(401, "Invalid API key provided.", code="invalid_api_key"),
    "payment_required": _failure(
        402, "Credit limit exceeded, please add credits to your account.", kind="credit_limit", code="credit_limit"
    ),
    "third_party_data_sharing_blocked": _failure(
        403,
        "This model requires third-party data sharing to be enabled for your organization.",
        code="third_party_data_sharing_blocked",
    ),
    "model_not_found": _failure(404, "Unable to access model openai/gpt-image-2.", code="model_not_found"),
    "nsfw": _failure(422, "NSFW content detected: the safety checker flagged the image.", code="nsfw_content"),
    "rate_limit_requests": _limited("dynamic_request_limited"),
    "rate_limit_tokens": _limited("dynamic_token_limited"),
    "server_error": _failure(500, "Internal server error.", kind="server_error"),
    "overloaded": _failure(503, "The server is overloaded or not ready yet.", kind="service_unavailable"),
    "bad_gateway_page": Answer(
        status=502, headers={"content-type": "text/html"}, body=b"<html><body><h1>502 Bad Gateway</h1></body></html>"
    ),
    "no_pictures": Answer(status=200, body=b'{"id":"oFuwv7Y","model":"openai/gpt-image-2","object":"list","data":[]}'),
    "lean_reply": Answer(
        status=200,
        body=b'{"id":"oFuwv7Y","data":[{"index":0,"type":null,"b64_json":"/9j/4AAQ"}],"timings":{"inference":0.79}}',
    ),
}
