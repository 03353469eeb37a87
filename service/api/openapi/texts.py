"""The words of the OpenAPI document: tags, headers, errors, parameters, and which call leads to which.

Rule: tables and nothing else; `build.py` puts them where they belong. Each thing is said once. What a pattern
allows is what the code that reads it allows, so patterns come from there.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from service.api.http.request_headers import TAG_VALUE
from service.api.schemas.admin import DATE_OR_TIME
from service.api.schemas.requests import PURPOSES, VISION
from service.domain import stored_images, time_ranges
from service.domain.cache_directives import AUTO, MAX_KEY_LENGTH, MAX_VARIANT
from service.usecases.ports.ledger import GROUPS

SUMMARY = "Pictures from several vendors behind one API, with budgets that hold."
EXAMPLES_TEXT = (
    "Examples are what a gateway with its sandbox answered: requests and replies of one name belong together. Ids are "
    "counted, moments are one moment, and base64 is cut short; `[sandbox …]` in a prompt makes the sandbox fail, and "
    "`@otter.png` in a form stands for a file."
)
CONTACT = {"name": "Whoever runs this gateway"}
SERVERS = [{"url": ".", "description": "Where this document was fetched."}]

TAGS: Mapping[str, tuple[str, str]] = {
    "Images": ("Data plane", "Draw pictures from words, and from pictures and words."),
    "Pictures": ("Data plane", "Fetch what was drawn, by an address that is signed and expires."),
    "Files": ("Data plane", "Bring pictures ahead of edits, and fetch pictures by their ids."),
    "Models": ("Data plane", "What is on offer, what it can do and what it costs."),
    "Usage": ("Data plane", "What a team has used, and what is left of its limits."),
    "Operations": ("Operations", "Is it alive, and should it be sent requests?"),
    "Admin": ("Admin", "Keys, teams, the ledger, the cache and the backends; opened by the admin key alone."),
}
"""Tag → the plane that it belongs to, and what it is about."""

SECURITY = {
    "key": "A key of your team. SDKs of Azure send it in the header `api-key`, which is taken as well.",
    "adminKey": "The admin key. Where none is configured, or admin has a port of its own, its paths are a 404.",
}

STR = {"type": "string"}
COUNT = {"type": "integer", "minimum": 0}


@dataclass(frozen=True, slots=True)
class Header:
    """What a reply's header says, its schema, and an example."""

    description: str
    example: object
    schema: Mapping[str, object] = field(default_factory=lambda: STR)


def _pattern_schema(pattern: str) -> Mapping[str, object]:
    return STR | {"pattern": f"^{pattern}$"}


HEADERS: Mapping[str, Header] = {
    "x-request-id": Header(
        "The id of this request in the gateway's log.",
        "req_0000000000000000000000000000002a",
        _pattern_schema("[!-~]{1,128}"),
    ),
    "x-should-retry": Header(
        "Can another try succeed without buying twice? The SDKs obey it.", "false", STR | {"enum": ["true", "false"]}
    ),
    "retry-after": Header("Seconds to wait, where that helps.", 12, {"type": "integer", "minimum": 0, "maximum": 60}),
    "www-authenticate": Header("How to say who you are.", "Bearer", STR | {"const": "Bearer"}),
    "allow": Header("The methods of this path.", "OPTIONS, POST"),
    "idempotent-replayed": Header(
        "This is what the request with this Idempotency-Key came to before.", "true", STR | {"const": "true"}
    ),
    "cache-control": Header("Who may keep this, and for how long.", "no-store"),
    "age": Header("Of a hit: how old it is, in seconds.", 42, COUNT),
    "x-gateway-backend": Header("Who drew it.", "openai"),
    "x-gateway-cache": Header(
        "Where it comes from: bought for this request, kept from an earlier one, shared with one that was under way or "
        "failed, or the same request again.",
        "miss",
        STR | {"enum": ["hit", "miss", "joined", "replayed", "bypass"]},
    ),
    "x-gateway-cost-usd": Header(
        "What this request cost, in US dollars.", "0.006240000", _pattern_schema(r"\d+\.\d{9}")
    ),
    "x-gateway-route-notes": Header("What the gateway did for the backend.", "transcoded=webp, n=3 calls"),
    "x-gateway-partial": Header(
        "Delivered/wanted, where a part of a large order failed.", "3/4", _pattern_schema(r"\d+/\d+")
    ),
    "ratelimit-policy": Header(
        "Limits by the minute: quota `q` in windows of `w` seconds.", '"images";q=120;w=60, "requests";q=600;w=60'
    ),
    "ratelimit": Header(
        "What remains of them (`r`), and in how many seconds all of it is there again (`t`).",
        '"images";r=118;t=1, "requests";r=599;t=1',
    ),
    **{
        f"x-ratelimit-{part}-{measure}": Header(f"{words} of {measure} by the minute.", example, schema)
        for measure in ("requests", "images")
        for part, words, example, schema in (
            ("limit", "The limit", 600, COUNT),
            ("remaining", "What remains", 599, COUNT),
            ("reset", "When all is there again", "1s", _pattern_schema(r"\d+s")),
        )
    },
    "etag": Header(
        "The name of these bytes, for `If-None-Match`.", '"img_24193290p00000000000000000000000000000001.png"'
    ),
    "accept-ranges": Header("`Range` is understood.", "bytes", STR | {"const": "bytes"}),
    "content-range": Header("Which part this is, or how long the whole is.", "bytes 0-1023/20480"),
    "content-disposition": Header("What to call the file.", 'attachment; filename="usage.csv"'),
}

RATE_LIMIT_HEADERS = tuple(name for name in HEADERS if "ratelimit" in name)
ALWAYS_HEADERS = ("x-request-id",)
ERROR_HEADERS = ("x-request-id", "x-should-retry", "retry-after")
REQUIRED = frozenset({"x-request-id", "x-should-retry", "www-authenticate"})
HEADERS_BY_ERROR_STATUS: Mapping[int, tuple[str, ...]] = {
    401: ("www-authenticate",),
    405: ("allow",),
    416: ("content-range",),
    429: RATE_LIMIT_HEADERS,
}
"""Status → headers of that error beside those of every error. An error may be one that is told again."""

GENERATION_HEADERS = (
    *("x-request-id", "x-gateway-backend", "x-gateway-cache", "x-gateway-cost-usd", "x-gateway-route-notes"),
    *("x-gateway-partial", "age", "idempotent-replayed", "cache-control", *RATE_LIMIT_HEADERS),
)
IMAGE_FILE_HEADERS = ("x-request-id", "etag", "accept-ranges", "cache-control")
HEADERS_BY_OPERATION: Mapping[str, tuple[str, ...]] = {
    "createImage": GENERATION_HEADERS,
    "createImageEdit": GENERATION_HEADERS,
    "fetchPicture": IMAGE_FILE_HEADERS,
    "downloadFile": IMAGE_FILE_HEADERS,
    "issueKey": (*ALWAYS_HEADERS, "cache-control"),
    "rotateKey": (*ALWAYS_HEADERS, "cache-control"),
    "exportUsage": (*ALWAYS_HEADERS, "cache-control", "content-disposition"),
}
"""Operation → headers of its success, where they are more than every reply's."""


@dataclass(frozen=True, slots=True)
class ErrorText:
    """An error's name among the components, and what it means."""

    name: str
    meaning: str


ERROR_TEXTS: Mapping[int, ErrorText] = {
    400: ErrorText("BadRequest", "The request cannot be honoured; `param` names the field."),
    401: ErrorText("Unauthorized", "No key, or one that is not known."),
    403: ErrorText("Forbidden", "The key's team may not do this."),
    404: ErrorText("NotFound", "No such model, picture, file, key, team or path."),
    405: ErrorText("MethodNotAllowed", "The path is there, and has other methods; `allow` names them."),
    408: ErrorText("RequestTimeout", "The body arrived too slowly."),
    409: ErrorText(
        "Conflict", "The request with this Idempotency-Key is still under way, and the operator wants nobody to wait."
    ),
    410: ErrorText("Gone", "What this request bought is not kept any more; it is not bought again."),
    413: ErrorText("ContentTooLarge", "The body or one of its pictures is too large."),
    416: ErrorText("RangeNotSatisfiable", "The picture has no such part; `content-range` says how long it is."),
    422: ErrorText("IdempotencyKeyReused", "This Idempotency-Key came with another request before."),
    429: ErrorText(
        "LimitReached", "A rate limit or the budget is used up; `x-should-retry` says whether waiting helps."
    ),
    500: ErrorText("InternalError", "A mistake of the gateway's own; its log has more under the request's id."),
    502: ErrorText("BackendFailed", "The backend failed or refused the gateway."),
    503: ErrorText("Unavailable", "The gateway or its backend is overloaded, or a part of it is down."),
    504: ErrorText(
        "BackendTimeout", "The backend did not answer in time, or nothing is kept and nothing may be bought."
    ),
    508: ErrorText("LoopDetected", "The request has passed this gateway before: a backend leads back to it."),
}
"""Every status that is an error with the envelope."""

IMAGE_ID = re.sub(r"\?P<[a-z]+>", "", stored_images.ID.pattern)
GROUP_PATTERN = f"({'|'.join(sorted(GROUPS))}|{time_ranges.TAG.pattern})"
PARAMETERS: Mapping[str, Mapping[str, object]] = {
    "since": _pattern_schema(DATE_OR_TIME),
    "until": _pattern_schema(DATE_OR_TIME),
    "group_by": _pattern_schema(f"{GROUP_PATTERN}(,{GROUP_PATTERN}){{0,{time_ranges.MAX_GROUPS - 1}}}"),
    "format": STR | {"enum": ["csv", "focus", "parquet"]},
    "limit": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100},
    "listFiles.limit": {"type": "integer", "minimum": 1, "maximum": 10_000, "default": 10_000},
    "after": _pattern_schema(IMAGE_ID),
    "order": STR | {"enum": ["asc", "desc"], "default": "desc"},
    "purpose": STR | {"enum": [*PURPOSES], "default": VISION},
    "file_id": _pattern_schema(IMAGE_ID),
    "name": _pattern_schema(IMAGE_ID + r"\.[a-z]{3,4}"),
    "expires": _pattern_schema("[0-9]{1,12}"),
    "signature": _pattern_schema("[A-Za-z0-9_-]+"),
    "model_id": STR | {"minLength": 1},
    "key_id": STR | {"minLength": 1},
    "team": STR | {"minLength": 1},
    "all": STR | {"enum": ["true", "false"]},
    "model": STR | {"minLength": 1},
}
"""Parameter of a path or behind the question mark → its schema. One with an operation's name is for that one alone."""

REQUIRED_PARAMETERS = frozenset({"format", "expires", "signature"})

TAG_PATTERN = f"[a-z][a-z0-9_-]* *= *{TAG_VALUE.pattern}"
KEEPALIVE_TEXT = (
    "true: the JSON answer begins when the backend is asked, with a space every few seconds before it. Its status is "
    "200 by then, so that a later failure is an error in a 200."
)
REQUEST_HEADERS: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "Idempotency-Key": (
        "Your name for this intention. The same key and request get the same answer for a day, whatever happens.",
        STR | {"minLength": 1, "maxLength": MAX_KEY_LENGTH, "pattern": "^[ -~]+$"},
    ),
    "Cache-Control": ("no-store, no-cache, max-age=N or only-if-cached: may the answer be an older one?", STR),
    "x-gateway-variant": (
        "Another sample of the same prompt. auto: identical requests side by side get one sample each.",
        {"oneOf": [{"type": "integer", "minimum": 0, "maximum": MAX_VARIANT}, {"type": "string", "enum": [AUTO]}]},
    ),
    "x-gateway-keepalive": (
        KEEPALIVE_TEXT,
        STR | {"enum": ["true", "false"]},
    ),
    "x-gateway-tags": (
        "Names under which the cost is to be found; which names there are, the operator says.",
        _pattern_schema(rf" *({TAG_PATTERN})?( *, *({TAG_PATTERN})?)* *"),
    ),
}
"""Header of a request for pictures → what it says, and its schema."""

IMAGE_FILE_REQUEST_HEADERS: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "Range": ("A part of the bytes.", STR),
    "If-None-Match": ("The `etag` of a copy that you have.", STR),
    "If-Range": ("The `etag` of the copy that `Range` continues.", STR),
}
"""Header of a request for a picture's bytes → the same."""

ID_OF_REPLY = "$response.body#/id"


@dataclass(frozen=True, slots=True)
class Link:
    """What a reply of `source` leads to. `parameters` and `body` are runtime expressions."""

    source: str
    target: str
    description: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None


def _key_links(source: str, id_expression: str = ID_OF_REPLY) -> list[Link]:
    return [
        Link(source, target, f"{words} the key.", {"key_id": id_expression})
        for target, words in (
            ("retrieveKey", "Describe"),
            ("changeKey", "Let end"),
            ("rotateKey", "Replace"),
            ("revokeKey", "Revoke"),
        )
    ]


def _file_links(source: str, id_expression: str = ID_OF_REPLY) -> list[Link]:
    return [
        Link(source, "retrieveFile", "Describe it.", {"file_id": id_expression}),
        Link(source, "downloadFile", "Fetch it.", {"file_id": id_expression}),
        Link(source, "deleteFile", "Delete it before its time.", {"file_id": id_expression}),
        Link(
            source,
            "createImageEdit",
            "Draw another picture from it.",
            body={"prompt": "make it night", "quality": "low", "images": [{"file_id": id_expression}]},
        ),
    ]


LINKS: tuple[Link, ...] = (
    *_file_links("createFile"),
    *_file_links("createImage", "$response.body#/data/0/id"),
    *_key_links("issueKey"),
    *_key_links("rotateKey", "$response.body#/new/id"),
    Link("listModels", "retrieveModel", "Describe one.", {"model_id": "$response.body#/data/0/id"}),
    Link("listTeams", "retrieveTeam", "Say how one stands.", {"team": "$response.body#/data/0/name"}),
    Link("issueKey", "retrieveTeam", "Say how its team stands.", {"team": "$response.body#/team"}),
)
