"""Texts and schemas of the OpenAPI document: tags, headers, errors, parameters and links.

Rule: this module has tables, which `build.py` puts into the document. Each text stands once. Patterns come from the
code that parses the values, so that both accept the same values.
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

SUMMARY = "Images from several vendors behind one API, with budgets that hold."
EXAMPLES_TEXT = (
    "Examples are real exchanges with a gateway and its sandbox; a request and its reply have one name. Ids are "
    "counted, all times are one time, and base64 is cut short. `[sandbox …]` in a prompt makes the sandbox fail, and "
    "`@otter.png` in a form stands for a file."
)
CONTACT = {"name": "The operator of this gateway"}
SERVERS = [{"url": ".", "description": "The gateway that this document was fetched from."}]

TAGS: Mapping[str, tuple[str, str]] = {
    "Images": ("Data plane", "Generate images from a prompt, and edit images."),
    "Stored images": ("Data plane", "Fetch generated images by signed addresses, which expire."),
    "Files": ("Data plane", "Upload images for later edits, and fetch images by id."),
    "Models": ("Data plane", "Models on offer, with their capabilities and prices."),
    "Usage": ("Data plane", "Spend of the calling team, and the state of its limits."),
    "Operations": ("Operations", "Liveness and readiness."),
    "Admin": ("Admin", "Keys, teams, the ledger, the cache and the backends. Needs the admin key."),
}
"""Tag → its plane and its description."""

SECURITY = {
    "key": "A key of your team. The header `api-key`, which SDKs of Azure send, is accepted too.",
    "adminKey": "The admin key. Without one, or where admin has a port of its own, these paths are a 404.",
}

STR = {"type": "string"}
COUNT = {"type": "integer", "minimum": 0}


@dataclass(frozen=True, slots=True)
class Header:
    """The documentation of a response header."""

    description: str
    example: object
    schema: Mapping[str, object] = field(default_factory=lambda: STR)


def _pattern_schema(pattern: str) -> Mapping[str, object]:
    return STR | {"pattern": f"^{pattern}$"}


HEADERS: Mapping[str, Header] = {
    "x-request-id": Header(
        "Id of this request in the gateway's log.",
        "req_0000000000000000000000000000002a",
        _pattern_schema("[!-~]{1,128}"),
    ),
    "x-should-retry": Header(
        "Whether a retry can succeed without a second purchase. The SDKs obey this header.",
        "false",
        STR | {"enum": ["true", "false"]},
    ),
    "retry-after": Header(
        "Seconds to wait before a retry, where waiting helps.", 12, {"type": "integer", "minimum": 0, "maximum": 60}
    ),
    "www-authenticate": Header("The scheme of authentication.", "Bearer", STR | {"const": "Bearer"}),
    "allow": Header("Methods of this path.", "OPTIONS, POST"),
    "idempotent-replayed": Header(
        "The stored outcome of the first request with this Idempotency-Key.", "true", STR | {"const": "true"}
    ),
    "cache-control": Header("Whether and how long a client may cache this reply.", "no-store"),
    "age": Header("Age of a cache hit in seconds.", 42, COUNT),
    "x-gateway-backend": Header("The backend that generated the images.", "openai"),
    "x-gateway-cache": Header(
        "miss and bypass: generated for this request. hit: from the cache. joined: shared with an identical request "
        "under way, or its failure. replayed: the outcome of the first try of this request.",
        "miss",
        STR | {"enum": ["hit", "miss", "joined", "replayed", "bypass"]},
    ),
    "x-gateway-cost-usd": Header("Cost of this request in US dollars.", "0.006240000", _pattern_schema(r"\d+\.\d{9}")),
    "x-gateway-route-notes": Header("Steps that the gateway did for the backend.", "transcoded=webp, n=3 calls"),
    "x-gateway-partial": Header(
        "Delivered/requested images, where some of several images failed.", "3/4", _pattern_schema(r"\d+/\d+")
    ),
    "ratelimit-policy": Header(
        "Limits per minute: quota `q` in windows of `w` seconds.", '"images";q=120;w=60, "requests";q=600;w=60'
    ),
    "ratelimit": Header(
        "Remaining part of the limits per minute (`r`), and seconds until the whole limit is available again (`t`).",
        '"images";r=118;t=1, "requests";r=599;t=1',
    ),
    **{
        f"x-ratelimit-{part}-{measure}": Header(text.format(measure), example, schema)
        for measure in ("requests", "images")
        for part, text, example, schema in (
            ("limit", "Limit of {} per minute.", 600, COUNT),
            ("remaining", "Remaining {} of the limit per minute.", 599, COUNT),
            ("reset", "Time until all {} of the limit are available again.", "1s", _pattern_schema(r"\d+s")),
        )
    },
    "etag": Header("Name of these bytes, for `If-None-Match`.", '"img_24193290p00000000000000000000000000000001.png"'),
    "accept-ranges": Header("`Range` is supported.", "bytes", STR | {"const": "bytes"}),
    "content-range": Header("Range and length of the bytes.", "bytes 0-1023/20480"),
    "content-disposition": Header("Name of the file.", 'attachment; filename="usage.csv"'),
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
"""Status → headers of that error beside those of every error. An error may be replayed or joined."""

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
"""Operation → headers of its success, if they are more than `ALWAYS_HEADERS`."""


@dataclass(frozen=True, slots=True)
class ErrorText:
    """The name of an error among the components, and its meaning."""

    name: str
    meaning: str


ERROR_TEXTS: Mapping[int, ErrorText] = {
    400: ErrorText("BadRequest", "The request cannot be honoured; `param` names the field."),
    401: ErrorText("Unauthorized", "The key is missing or unknown."),
    403: ErrorText("Forbidden", "The team of the key may not do this."),
    404: ErrorText("NotFound", "There is no such model, image, file, key, team or path."),
    405: ErrorText("MethodNotAllowed", "The path has other methods; `allow` names them."),
    408: ErrorText("RequestTimeout", "The body arrived too slowly."),
    409: ErrorText(
        "Conflict", "The first request with this Idempotency-Key is under way, and the settings forbid to wait for it."
    ),
    410: ErrorText("Gone", "The result of this request has expired. The gateway does not buy it again."),
    413: ErrorText("ContentTooLarge", "The body or one of its images is too large."),
    416: ErrorText("RangeNotSatisfiable", "The range lies outside of the image; `content-range` has its length."),
    422: ErrorText("IdempotencyKeyReused", "This Idempotency-Key was sent with another request before."),
    429: ErrorText(
        "LimitReached", "A rate limit or the budget is used up; `x-should-retry` says whether waiting helps."
    ),
    500: ErrorText("InternalError", "A fault of the gateway; its log has more under the request id."),
    502: ErrorText("BackendFailed", "The backend failed or refused the gateway."),
    503: ErrorText("Unavailable", "The gateway or its backend is overloaded, or a part of it is down."),
    504: ErrorText(
        "BackendTimeout", "The backend did not answer in time, or only-if-cached was sent without a cached result."
    ),
    508: ErrorText("LoopDetected", "The request has passed this gateway before, because a backend leads back to it."),
}
"""Status → its error."""

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
"""Parameter of the path or the query → its schema. `operation.parameter` is for that operation alone."""

REQUIRED_PARAMETERS = frozenset({"format", "expires", "signature"})

TAG_PATTERN = f"[a-z][a-z0-9_-]* *= *{TAG_VALUE.pattern}"
KEEPALIVE_TEXT = (
    "true: the JSON reply starts when the backend is called, with a space every few seconds. Its status is 200 then, "
    "so a later failure is an error in the body of a 200."
)
REQUEST_HEADERS: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "Idempotency-Key": (
        "Your name for this request. Retries with this key get the outcome of the first try, for a day.",
        STR | {"minLength": 1, "maxLength": MAX_KEY_LENGTH, "pattern": "^[ -~]+$"},
    ),
    "Cache-Control": ("no-store, no-cache, max-age=N or only-if-cached: whether a cached result may be sent.", STR),
    "x-gateway-variant": (
        "Number of a sample of one prompt. auto: identical requests under way at a time get different samples.",
        {"oneOf": [{"type": "integer", "minimum": 0, "maximum": MAX_VARIANT}, {"type": "string", "enum": [AUTO]}]},
    ),
    "x-gateway-keepalive": (
        KEEPALIVE_TEXT,
        STR | {"enum": ["true", "false"]},
    ),
    "x-gateway-tags": (
        "Tags for the cost of this request, such as project=search. The operator decides on the names.",
        _pattern_schema(rf" *({TAG_PATTERN})?( *, *({TAG_PATTERN})?)* *"),
    ),
}
"""Header of an image request → its description and its schema."""

IMAGE_FILE_REQUEST_HEADERS: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "Range": ("Range of the bytes to send.", STR),
    "If-None-Match": ("The `etag` of your copy.", STR),
    "If-Range": ("The `etag` of the copy that `Range` continues.", STR),
}
"""Header of a request for the bytes of an image → its description and its schema."""

ID_OF_REPLY = "$response.body#/id"


@dataclass(frozen=True, slots=True)
class Link:
    """A link from a reply of `source` to a request of `target`. `parameters` and `body` are runtime expressions."""

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
            ("changeKey", "Change"),
            ("rotateKey", "Replace"),
            ("revokeKey", "Revoke"),
        )
    ]


def _file_links(source: str, id_expression: str = ID_OF_REPLY) -> list[Link]:
    return [
        Link(source, "retrieveFile", "Describe it.", {"file_id": id_expression}),
        Link(source, "downloadFile", "Fetch it.", {"file_id": id_expression}),
        Link(source, "deleteFile", "Delete it before it expires.", {"file_id": id_expression}),
        Link(
            source,
            "createImageEdit",
            "Edit it.",
            body={"prompt": "make it night", "quality": "low", "images": [{"file_id": id_expression}]},
        ),
    ]


LINKS: tuple[Link, ...] = (
    *_file_links("createFile"),
    *_file_links("createImage", "$response.body#/data/0/id"),
    *_key_links("issueKey"),
    *_key_links("rotateKey", "$response.body#/new/id"),
    Link("listModels", "retrieveModel", "Describe one.", {"model_id": "$response.body#/data/0/id"}),
    Link("listTeams", "retrieveTeam", "Describe one.", {"team": "$response.body#/data/0/name"}),
    Link("issueKey", "retrieveTeam", "Describe its team.", {"team": "$response.body#/team"}),
)
