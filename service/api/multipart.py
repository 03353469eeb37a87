"""Reads forms as they arrive: pictures go to disk, words stay small, the order of the parts does not matter.

Rule: which parts are files is said by `Parts` (in edits `image`, `image[]`, `image[0]` ..., `mask` and `markup`);
every other part is text and may stand once. A part's declared content type is ignored, because the SDKs send
octet-stream; what a picture is, is seen later.
"""

import re
from contextlib import aclosing
from dataclasses import dataclass, field

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from service.api.bodies import Limits, chunks
from service.api.edge import Http
from service.domain.errors import InvalidValue, MalformedBody, TooLarge
from service.domain.images import Reference
from service.usecases.spool import Intake, Spool

MOST_TEXT_BYTES = 262_144
MOST_PARTS = 64
LINE_ENDS = re.compile(r"[\r\n]")


@dataclass(frozen=True, slots=True)
class Parts:
    """Which parts are files: `images` may come several times, `single` once."""

    images: re.Pattern[str]
    single: frozenset[str]


EDIT = Parts(re.compile(r"image(\[\d{0,2}\])?"), frozenset({"mask", "markup"}))
FILE = Parts(re.compile(r"(?!)"), frozenset({"file"}))


@dataclass(slots=True)
class Form:
    """A form that has been received. `filenames` are what the caller called the single files."""

    texts: dict[str, str] = field(default_factory=dict)
    images: list[Reference] = field(default_factory=list)
    single: dict[str, Reference] = field(default_factory=dict)
    filenames: dict[str, str] = field(default_factory=dict)


async def read_form(request: Http, limits: Limits, parts: Parts) -> Form:
    """Receive a form.

    Raises:
        RequestError: it is malformed, too large, too slow, or has a part that has no place in it.
    """
    _, options = parse_options_header(request.headers.get("content-type", ""))
    receiver = _Receiver(parts, limits.most_picture_bytes)
    try:
        with PushMultipartParser(options.get("boundary", ""), max_segment_count=MOST_PARTS) as parser:
            async with aclosing(chunks(request, limits.most_form_bytes, limits.pace)) as body:
                async for chunk in body:
                    for event in parser.parse(chunk):
                        receiver.take(event)
    except MultipartError as broken:
        raise MalformedBody(f"The form cannot be read: {broken.args[0]}.", code="invalid_form") from None
    return receiver.form


class _Receiver:
    """Turns the parser's events into a form. Events: a segment begins, bytes arrive, None ends the segment."""

    def __init__(self, parts: Parts, most_picture_bytes: int) -> None:
        self.form = Form()
        self._parts = parts
        self._most = most_picture_bytes
        self._name = ""
        self._spool: Spool | None = None
        self._intake: Intake | None = None
        self._text = bytearray()

    def take(self, event: MultipartSegment | bytearray | None) -> None:
        if isinstance(event, MultipartSegment):
            self._begin(event)
        elif event is None:
            self._end()
        elif self._intake:
            self._intake.write(event)
        else:
            self._add_text(event)

    def _begin(self, segment: MultipartSegment) -> None:
        if any(LINE_ENDS.search(value) for _, value in segment.headerlist):  # found or not, as the body was cut up
            raise MalformedBody("The form cannot be read: Invalid line break in segment header.", code="invalid_form")
        self._name = segment.name
        self._text.clear()
        self._intake = None
        is_image, is_single = self._parts.images.fullmatch(self._name), self._name in self._parts.single
        if not (is_image or is_single):
            return
        if segment.filename is None:
            raise InvalidValue(f"'{self._name}' must be a file.", param=self._name)
        if self._name in self.form.single:
            raise InvalidValue(f"'{self._name}' was given twice.", param=self._name)
        self.form.filenames[self._name] = segment.filename
        label = f"image[{len(self.form.images)}]" if is_image else self._name
        self._spool = self._spool or Spool()
        self._intake = Intake(label, self._most, self._spool)

    def _add_text(self, chunk: bytes | bytearray) -> None:
        self._text += chunk
        if len(self._text) > MOST_TEXT_BYTES:
            raise TooLarge(f"'{self._name[:80]}' is larger than {MOST_TEXT_BYTES} bytes.", param=self._name[:80])

    def _end(self) -> None:
        if self._intake is None:
            self._end_text()
        elif self._name in self._parts.single:
            self.form.single[self._name] = self._intake.done()
        else:
            self.form.images.append(self._intake.done())

    def _end_text(self) -> None:
        if self._name in self.form.texts:
            raise InvalidValue(f"'{self._name}' was given twice.", param=self._name)
        try:
            self.form.texts[self._name] = self._text.decode()
        except UnicodeDecodeError:
            raise MalformedBody(f"'{self._name}' is not UTF-8 text.", param=self._name) from None
