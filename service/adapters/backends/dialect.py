"""What every vendor dialect has in common: how a call is described, and how a refusal is read and cleaned.

Rule: dialects turn domain values into bytes and back, and do nothing else; `http.py` makes the call. What a vendor says
in a refusal reaches callers only after `scrub`: no keys, account ids, addresses or base64.
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
    """A limit of a vendor, and the headers that hold it, what is left of it and when there is more.

    With `is_continuous`, that is how long until all of it is back, a piece at a time.
    """

    measure: str
    limit: str
    remaining: str
    reset: str
    is_continuous: bool = False


class Dialect(Protocol):
    """One vendor's wire format. A dialect without events answers orders with partials as if they had none."""

    def write(self, request: UpstreamRequest) -> Call:
        """The call for a request. Reads the caller's pictures from disk."""
        ...

    def read(self, request: UpstreamRequest, body: bytearray) -> CallOutcome:
        """What a 200 brought."""
        ...

    def read_event(self, request: UpstreamRequest, event: bytes | bytearray) -> Preview | CallOutcome | None:
        """What the data of one server-sent event brought; None if nothing that matters."""
        ...

    @property
    def rate_limit_headers(self) -> Sequence[RateLimitHeaders]:
        """In which headers the vendor says what is left of its limits."""
        ...

    def read_failure(self, status: int, headers: Mapping[str, str], body: bytes) -> Failure:
        """What any other status means."""
        ...


SECONDS: Mapping[str, float] = {"h": 3600, "m": 60, "s": 1, "ms": 0.001, "": 1}
COUNT = re.compile(r"\d{1,12}", re.ASCII)
DURATION = re.compile(r"(?:\d{1,6}(?:\.\d{1,9})?(?:h|ms|m|s))+|\d{1,6}(?:\.\d{1,9})?", re.ASCII)


def read_rate_limits(limits: Sequence[RateLimitHeaders], headers: Mapping[str, str]) -> tuple[RateLimit, ...]:
    """What headers say about limits. A limit of nothing is none."""
    rate_limits = (_read_rate_limit(limited, headers) for limited in limits)
    return tuple(headroom for headroom in rate_limits if headroom)


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
    """What `1s`, `6m0s`, `120ms` or `1.5` comes to."""
    if not DURATION.fullmatch(text):
        return None
    return sum(float(number) * SECONDS[unit] for number, unit in re.findall(r"([\d.]+)(h|ms|m|s|)", text))


class VendorError(msgspec.Struct):
    """The fields of an error envelope, as far as they are there and of the right type.

    `is_envelope`: the document has the form of the API's errors, an object `error`. `may_be_billed` is what another
    image gateway says of its own failure.
    """

    message: str = ""
    type: str = ""
    code: str = ""
    param: str | None = None
    moderation_details: dict[str, object] | None = None
    is_envelope: bool = False
    may_be_billed: bool = False


IDENTIFYING_FIELDS = frozenset({"message", "type", "code"})
"""An error of the API has at least one of them."""


def read_vendor_error(body: bytes) -> VendorError:
    """The error object of a refusal, nested or flat; whatever else came gives an empty one."""
    try:
        document = msgspec.json.decode(body, type=dict[str, object])
    except DECODE_ERRORS:
        return VendorError()
    nested = document.get("error", document)
    error_object = {"message": nested} if isinstance(nested, str) else nested
    if not isinstance(error_object, dict):
        return VendorError()
    texts = {name: value for name, value in error_object.items() if isinstance(value, str)}
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
    """The vendor's words without anything that belongs to the operator."""
    return SECRET_PATTERN.sub("[removed]", message[: 4 * MAX_MESSAGE_CHARS])[:MAX_MESSAGE_CHARS]


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorMapping:
    """How one vendor's refusals are understood: by code (or type) first, then by status.

    `kinds_by_status` are errors in the API's form that mean something else here than in `failure_statuses.py`.
    """

    kinds_by_code: Mapping[str, FailureKind]
    kinds_by_status: Mapping[int, FailureKind]
    retry_headers: tuple[str, ...]

    def to_failure(self, status: int, headers: Mapping[str, str], complaint: VendorError) -> StatusFailure:
        """The failure that this refusal is."""
        kind = self.kinds_by_code.get(complaint.code) or self.kinds_by_code.get(complaint.type)
        if not kind and complaint.is_envelope:
            kind = self.kinds_by_status.get(status)
        if not kind:
            return read_status(status, headers, is_envelope=complaint.is_envelope)
        return StatusFailure(kind=kind, permanent=kind is FailureKind.SERVER_ERROR)


OPERATOR_MESSAGES = {
    FailureKind.AUTH_FAILED: "The gateway's own credentials were refused by its backend. The operator has to act.",
    FailureKind.FORBIDDEN: "The gateway's account may not do this at its backend. The operator has to act.",
    FailureKind.QUOTA_EXHAUSTED: "The gateway's account at its backend is out of credit or over its spending limit.",
    FailureKind.SERVER_ERROR: "The backend failed.",
    FailureKind.OVERLOADED: "The backend is overloaded.",
    FailureKind.UNREACHABLE: "The backend could not be reached.",
}
"""Failures that are not the caller's: the vendor's words are about the operator's account or machines."""


LOOP = "loop_detected"
LOOP_MESSAGE = "A backend of the gateway leads back to it. The operator has to act."


def to_failure(mapping: ErrorMapping, status: int, headers: Mapping[str, str], body: bytes) -> Failure:
    """One refusal as a domain value. `headers` have lower-case names."""
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
    """The gateway's own words for what is not the caller's."""
    if vendor_error.code == LOOP:
        return LOOP_MESSAGE
    if reading.permanent:
        return f"The backend's answer, status {status}, is none of its API. The operator has to act."
    if reading.kind in MAY_BE_BILLED:
        return f"The backend's answer, status {status}, does not say whether the picture was drawn."
    return OPERATOR_MESSAGES.get(reading.kind)


def _retry_after(names: tuple[str, ...], headers: Mapping[str, str], message: str) -> float | None:
    """Seconds until another try makes sense, from the first header that is a number, else from the text."""
    for name in names:
        if re.fullmatch(r"\d{1,6}(\.\d{1,6})?", headers.get(name, "")):
            return float(headers[name]) / (1000 if name.endswith("-ms") else 1)
    match = re.search(r"try again in (\d{1,6}(?:\.\d{1,6})?)s\b", message)
    return float(match[1]) if match else None


FILE_ENDINGS = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}


def has_no_escapes(body: bytes | bytearray) -> bool:
    """Is a reply ASCII without a backslash, so that each string in it stands for itself?"""
    return body.isascii() and b"\\" not in body


@dataclass(frozen=True, slots=True)
class SplitReply:
    """A JSON text without its pictures, which lie where they came: nothing has to walk through megabytes of base64.

    In the place of each stands an escape; the text had none, or nothing was cut out of it.
    """

    json: bytes | bytearray
    images: Sequence[memoryview]

    def base64_for(self, token: msgspec.Raw) -> Buffer | None:
        """The base64 that a JSON token stands for; None for anything else.

        Only where the text is not plain are the bytes copied: some encoders escape slashes, or more. Nobody has looked
        at them before, because tokens that are not decoded are not checked.
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
    """What a string says, or nothing if that is no base64. Escaped slashes are common and cheap to read."""
    text = text.replace(b"\\/", b"/")
    if b"\\" not in text:
        return text
    try:
        return msgspec.json.decode(token, type=str).encode("ascii")
    except (*DECODE_ERRORS, UnicodeEncodeError):
        return b""


BASE64 = re.compile(rb"[A-Za-z0-9+/=_-]+")


def _clean_base64(base64: Buffer) -> Buffer | None:
    """The bare base64 of a data URL, or of text that was broken into lines; None if there is none.

    Bare base64 is passed on by reference, and only its first and last bytes are looked at.
    """
    head = bytes(base64[:HEAD])
    if is_data_url(head):
        start = base64_start(head)
        if start is None:
            return None
        base64, head = memoryview(base64)[start:], head[start:]
    ends = head + bytes(base64[-2:])  # lines, where there are any, are shorter than the head
    return (without_blanks(bytes(base64)) if without_blanks(ends) != ends else base64) or None


IMAGE_MEMBER = re.compile(rb'"b64_json"[ \t\r\n]*:[ \t\r\n]*"')
BACKSLASH = b"\\\\"
"""A backslash as JSON spells it."""


def split_images(body: bytes | bytearray) -> SplitReply:
    """Take the pictures out of a reply. Where no string has an escape, each of them ends with the next quote."""
    if not has_no_escapes(body):
        return SplitReply(body, ())
    whole, rest, at = memoryview(body), bytearray(), 0
    images: list[memoryview] = []
    while (match := IMAGE_MEMBER.search(body, at)) and (end := body.find(b'"', match.end())) >= 0:
        rest += whole[at : match.end()]
        rest += BACKSLASH + b"%d" % len(images)
        images.append(whole[match.end() : end])
        at = end
    return SplitReply(rest + whole[at:], images)


class ReplyItem(msgspec.Struct):
    """One picture of a reply."""

    b64_json: msgspec.Raw = msgspec.Raw(b"null")
    revised_prompt: object = None


Items = list[ReplyItem | str | int | float | bool | list[object] | None]
"""The pictures of a reply, and whatever else may stand among them."""


def read_images(items: Items, text: SplitReply) -> tuple[tuple[GeneratedImage, ...], int]:
    """The pictures that can be read, and how many cannot."""
    images = tuple(image for item in items if isinstance(item, ReplyItem) and (image := _read_image(item, text)))
    return images, len(items) - len(images)


def _read_image(item: ReplyItem, text: SplitReply) -> GeneratedImage | None:
    base64 = text.base64_for(item.b64_json)
    return GeneratedImage(base64=base64, revised_prompt=to_text(item.revised_prompt)) if base64 else None


def open_reference(reference: Reference) -> BinaryIO:
    """A reader for a picture at hand. Links are written as links and never come here."""
    if reference.content is None:
        raise ValueError(f"{reference.param} has not been fetched")
    return reference.content.open()
