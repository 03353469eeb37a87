"""Parts that all vendor dialects share: calls, rate-limit headers, errors and images of replies.

Rule: a dialect converts domain values to bytes and back, and does nothing else. `http.py` makes the call. A vendor's
error text reaches callers only after `scrub`: without keys, account ids, addresses or base64.

Fails with: a `Failure` for any error of a vendor; `BROKEN_REPLY` for a reply without a readable image.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

import msgspec

from service.adapters.backends.failure_statuses import StatusFailure, read_status
from service.adapters.backends.lenient_json import DECODE_ERRORS, to_text
from service.domain.base64_text import HEAD, base64_start, is_data_url, without_blanks
from service.domain.errors import MAY_BE_BILLED, Failure, FailureKind
from service.domain.generation import Buffer, CallOutcome, GeneratedImage, Preview
from service.domain.image_spec import Reference
from service.domain.vendor_rate_limits import RateLimit
from service.usecases.ports.requests import UpstreamRequest

MAX_MESSAGE_CHARS = 1000
SECRET_PATTERN = re.compile(
    r"\b(?:sk|tgp|key|org|proj|req)[-_][\w*.-]{4,}"  # keys, account and request ids
    r"|https?://\S+"
    r"|[A-Za-z0-9+/=_-]{120,}",  # base64
)
BROKEN_REPLY = Failure(kind=FailureKind.BROKEN_REPLY, message="The backend's reply could not be read.")

File = tuple[str, tuple[str, BinaryIO, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One POST below the vendor's base address: JSON, or a form of text fields and files."""

    path: str
    json: bytes | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    files: tuple[File, ...] = ()


@dataclass(frozen=True, slots=True)
class RateLimitHeaders:
    """A rate limit of a vendor, and the names of its headers.

    Attributes:
        measure: Name of the limit, such as requests.
        limit: Header with the maximum.
        remaining: Header with the remaining amount.
        reset: Header with the time until a reset.
        is_continuous: The reset is gradual, and its header has the time until all of the limit is available again.
    """

    measure: str
    limit: str
    remaining: str
    reset: str
    is_continuous: bool = False


class Dialect(Protocol):
    """One vendor's wire format. A dialect without events answers a request for previews with the image alone."""

    def write(self, request: UpstreamRequest) -> Call:
        """Build the call for a request. Reads the caller's images from disk."""
        ...

    def read(self, request: UpstreamRequest, body: bytearray) -> CallOutcome:
        """Read the body of a successful reply."""
        ...

    def read_event(self, request: UpstreamRequest, event: bytes | bytearray) -> Preview | CallOutcome | None:
        """Read the data of one server-sent event; None for an event of another kind."""
        ...

    @property
    def rate_limit_headers(self) -> Sequence[RateLimitHeaders]:
        """Headers of the vendor's rate limits."""
        ...

    def read_failure(self, status: int, headers: Mapping[str, str], body: bytes) -> Failure:
        """Read a reply with an error status."""
        ...


SECONDS: Mapping[str, float] = {"h": 3600, "m": 60, "s": 1, "ms": 0.001, "": 1}
COUNT = re.compile(r"\d{1,12}", re.ASCII)
DURATION = re.compile(r"(?:\d{1,6}(?:\.\d{1,9})?(?:h|ms|m|s))+|\d{1,6}(?:\.\d{1,9})?", re.ASCII)


def read_rate_limits(limits: Sequence[RateLimitHeaders], headers: Mapping[str, str]) -> tuple[RateLimit, ...]:
    """Read rate limits from headers. A maximum of 0 counts as no limit."""
    rate_limits = (_read_rate_limit(limited, headers) for limited in limits)
    return tuple(rate_limit for rate_limit in rate_limits if rate_limit)


def _read_rate_limit(headers_of_limit: RateLimitHeaders, headers: Mapping[str, str]) -> RateLimit | None:
    remaining = _parse_count(headers.get(headers_of_limit.remaining))
    if remaining is None:
        return None
    limit = _parse_count(headers.get(headers_of_limit.limit))
    if limit == 0:
        return None
    reset = parse_duration(headers.get(headers_of_limit.reset, ""))
    if reset and limit and headers_of_limit.is_continuous:
        reset /= limit - remaining if remaining < limit else 1
    return RateLimit(measure=headers_of_limit.measure, remaining=remaining, limit=limit, resets_in=reset)


def _parse_count(text: str | None) -> int | None:
    return int(text) if text and COUNT.fullmatch(text) else None


def parse_duration(text: str) -> float | None:
    """Parse a duration such as `1s`, `6m0s`, `120ms` or `1.5` into seconds."""
    if not DURATION.fullmatch(text):
        return None
    return sum(float(number) * SECONDS[unit] for number, unit in re.findall(r"([\d.]+)(h|ms|m|s|)", text))


class VendorError(msgspec.Struct):
    """Fields of an error reply that are present and of the right type.

    Attributes:
        is_envelope: The document has the form of the API's errors, an object `error`.
        may_be_billed: Another image gateway says so of its own failure.
    """

    message: str = ""
    type: str = ""
    code: str = ""
    param: str | None = None
    moderation_details: dict[str, object] | None = None
    is_envelope: bool = False
    may_be_billed: bool = False


IDENTIFYING_FIELDS = frozenset({"message", "type", "code"})
"""Fields of which every error of the API has one or more."""


def read_vendor_error(body: bytes) -> VendorError:
    """Read the error object of a reply, nested or flat. Any other body gives an empty error."""
    try:
        document = msgspec.json.decode(body, type=dict[str, object])
    except DECODE_ERRORS:
        return VendorError()
    # Some vendors send the fields nested in `error`, some flat, some a bare text as `error`.
    nested = document.get("error", document)
    error_object = {"message": nested} if isinstance(nested, str) else nested
    if not isinstance(error_object, dict):
        return VendorError()
    texts = {name: value for name, value in error_object.items() if isinstance(value, str)}
    # A proxy may answer in JSON too, so only a nested object with a known field counts as the API's form.
    details = error_object.get("moderation_details")
    return VendorError(
        message=texts.get("message", ""),
        type=texts.get("type", ""),
        code=texts.get("code", ""),
        param=texts.get("param"),
        moderation_details=details if isinstance(details, dict) else None,
        is_envelope=isinstance(nested, dict)
        and nested is not document
        and not texts.keys().isdisjoint(IDENTIFYING_FIELDS),
        may_be_billed=error_object.get("may_be_billed") is True,
    )


def scrub(message: str) -> str:
    """Remove keys, account ids, addresses and base64 from a vendor's text."""
    return SECRET_PATTERN.sub("[removed]", message[: 4 * MAX_MESSAGE_CHARS])[:MAX_MESSAGE_CHARS]


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorMapping:
    """Failures of one vendor's errors: by code or type first, then by status.

    `kinds_by_status` are errors in the API's form with another meaning than in `failure_statuses.py`.
    """

    kinds_by_code: Mapping[str, FailureKind]
    kinds_by_status: Mapping[int, FailureKind]
    retry_headers: tuple[str, ...]

    def to_failure(self, status: int, headers: Mapping[str, str], error: VendorError) -> StatusFailure:
        """Map an error to a failure."""
        kind = self.kinds_by_code.get(error.code) or self.kinds_by_code.get(error.type)
        if not kind and error.is_envelope:
            kind = self.kinds_by_status.get(status)
        if not kind:
            return read_status(status, headers, is_envelope=error.is_envelope)
        return StatusFailure(kind=kind, permanent=kind is FailureKind.SERVER_ERROR)


OPERATOR_MESSAGES = {
    FailureKind.AUTH_FAILED: "The gateway's own credentials were refused by its backend. The operator has to act.",
    FailureKind.FORBIDDEN: "The gateway's account may not do this at its backend. The operator has to act.",
    FailureKind.QUOTA_EXHAUSTED: "The gateway's account at its backend is out of credit or over its spending limit.",
    FailureKind.SERVER_ERROR: "The backend failed.",
    FailureKind.OVERLOADED: "The backend is overloaded.",
    FailureKind.UNREACHABLE: "The backend could not be reached.",
}
"""Messages of failures that are not the caller's. The vendor's own text is about the operator's account or machines."""


LOOP = "loop_detected"
LOOP_MESSAGE = "A backend of the gateway leads back to it. The operator has to act."


def to_failure(mapping: ErrorMapping, status: int, headers: Mapping[str, str], body: bytes) -> Failure:
    """Convert an error reply to a domain value. `headers` have lower-case names."""
    vendor_error = read_vendor_error(body)
    reading = mapping.to_failure(status, headers, vendor_error)
    kind = reading.kind
    return Failure(
        kind=kind,
        message=_own_message(reading, status, vendor_error)
        or scrub(vendor_error.message)
        or f"The backend refused with status {status}.",
        code=scrub(vendor_error.code) or None,
        param=scrub(vendor_error.param)[:80] if vendor_error.param else None,
        retry_after=_retry_after(mapping.retry_headers, headers, vendor_error.message),
        moderation_details=vendor_error.moderation_details if kind is FailureKind.MODERATION_BLOCKED else None,
        drawn=vendor_error.may_be_billed,
        permanent=reading.permanent,
    )


def _own_message(reading: StatusFailure, status: int, vendor_error: VendorError) -> str | None:
    """Return the gateway's own message for a failure that is not the caller's."""
    if vendor_error.code == LOOP:
        return LOOP_MESSAGE
    if reading.permanent:
        return f"The backend's answer, status {status}, is none of its API. The operator has to act."
    if reading.kind in MAY_BE_BILLED:
        return f"The backend's answer, status {status}, does not say whether an image was generated."
    return OPERATOR_MESSAGES.get(reading.kind)


def _retry_after(names: tuple[str, ...], headers: Mapping[str, str], message: str) -> float | None:
    """Return the seconds until a retry makes sense: from the first header with a number, else from the text."""
    for name in names:
        if re.fullmatch(r"\d{1,6}(\.\d{1,6})?", headers.get(name, "")):
            return float(headers[name]) / (1000 if name.endswith("-ms") else 1)
    match = re.search(r"try again in (\d{1,6}(?:\.\d{1,6})?)s\b", message)
    return float(match[1]) if match else None


FILE_ENDINGS = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}


def has_no_escapes(body: bytes | bytearray) -> bool:
    """Return whether a reply is ASCII without a backslash, so that no string in it is escaped."""
    return body.isascii() and b"\\" not in body


@dataclass(frozen=True, slots=True)
class SplitReply:
    """A JSON text without its images. They stay in the reply's buffer, so no parser walks through megabytes of base64.

    An escape stands in the place of each image. A text with escapes of its own is not split.
    """

    json: bytes | bytearray
    images: Sequence[memoryview]

    def base64_for(self, token: msgspec.Raw) -> Buffer | None:
        """Return the base64 of a JSON token; None for any other token.

        Bytes are copied only where the text has escapes: some encoders escape slashes, or more. The token's characters
        are checked here, because msgspec does not check a token that it does not decode.
        """
        raw = memoryview(token)
        if len(raw) <= len('""') or raw[0] != ord('"'):
            return None
        text = bytes(raw[1:-1])
        if self.images:
            return _clean_base64(self.images[int(text.removeprefix(BACKSLASH))])
        base64 = _clean_base64(_unescape(text, token))
        return base64 if base64 and BASE64.fullmatch(base64) else None


def _unescape(text: bytes, token: msgspec.Raw) -> bytes:
    """Return the content of a string token, or nothing if the content is not ASCII.

    Escaped slashes are common and cheap.
    """
    text = text.replace(b"\\/", b"/")
    if b"\\" not in text:
        return text
    try:
        return msgspec.json.decode(token, type=str).encode("ascii")
    except (*DECODE_ERRORS, UnicodeEncodeError):
        return b""


BASE64 = re.compile(rb"[A-Za-z0-9+/=_-]+")


def _clean_base64(base64: Buffer) -> Buffer | None:
    """Return the bare base64 of a data URL, or of text in lines; None if there is none.

    Bare base64 is returned by reference, after a look at its first and last bytes.
    """
    head = bytes(base64[:HEAD])
    if is_data_url(head):
        start = base64_start(head)
        if start is None:
            return None
        base64, head = memoryview(base64)[start:], head[start:]
    ends = head + bytes(base64[-2:])  # text in lines has a line break within the head
    return (without_blanks(bytes(base64)) if without_blanks(ends) != ends else base64) or None


IMAGE_MEMBER = re.compile(rb'"b64_json"[ \t\r\n]*:[ \t\r\n]*"')
BACKSLASH = b"\\\\"
"""A backslash in JSON."""


def split_images(body: bytes | bytearray) -> SplitReply:
    """Take the images out of a reply. In a reply without escapes, an image ends at the next quote."""
    if not has_no_escapes(body):
        return SplitReply(body, ())
    view, rest, at = memoryview(body), bytearray(), 0
    images: list[memoryview] = []
    while (match := IMAGE_MEMBER.search(body, at)) and (end := body.find(b'"', match.end())) >= 0:
        rest += view[at : match.end()]
        rest += BACKSLASH + b"%d" % len(images)
        images.append(view[match.end() : end])
        at = end
    return SplitReply(rest + view[at:], images)


class ReplyItem(msgspec.Struct):
    """One image of a reply."""

    b64_json: msgspec.Raw = msgspec.Raw(b"null")
    revised_prompt: object = None


Items = list[ReplyItem | str | int | float | bool | list[object] | None]
"""The images of a reply, and any other value among them."""


def read_images(items: Items, text: SplitReply) -> tuple[tuple[GeneratedImage, ...], int]:
    """Return the readable images, and the number of unreadable ones."""
    images = tuple(image for item in items if isinstance(item, ReplyItem) and (image := _read_image(item, text)))
    return images, len(items) - len(images)


def _read_image(item: ReplyItem, text: SplitReply) -> GeneratedImage | None:
    base64 = text.base64_for(item.b64_json)
    return GeneratedImage(base64=base64, revised_prompt=to_text(item.revised_prompt)) if base64 else None


def open_reference(reference: Reference) -> BinaryIO:
    """Open a reference image. A link has no content, and is written as a link."""
    if reference.content is None:
        raise ValueError(f"{reference.param} has not been fetched")
    return reference.content.open()
