"""Reading of multipart forms as they arrive: files go to disk, texts stay small, and parts come in any order.

Rule: `FormParts` names the files of a form (in edits `image`, `image[]`, `image[0]` ..., `mask` and `markup`). The
fields of its struct are texts, and a repeated text needs an equal value. A file without a name and without bytes is an
empty input of a browser's form, and counts as absent. The content type of a part is ignored, because the SDKs send
octet-stream. Names are read as UTF-8, and as Latin-1 where they are not UTF-8.

Fails with: `UnknownParameter` at the first line of a part without a place in the form, whatever its size;
`MalformedBody`, `TooLarge`, `InvalidValue`, and all errors of `bodies.py`.
"""

import re
from contextlib import aclosing
from dataclasses import dataclass, field

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from service.api.http.bodies import BodyLimits, read_chunks
from service.api.http.request_context import Http
from service.api.schemas.requests import (
    MAX_ECHOED_CHARS,
    Body,
    EditForm,
    FileForm,
    bracket_names,
    unknown_parameter_error,
)
from service.domain.errors import InvalidValue, MalformedBody, TooLarge, UnknownParameter
from service.domain.image_spec import Reference
from service.usecases.ports.uploads import Upload, Uploads

MAX_TEXT_BYTES = 262_144
MAX_PARTS = 64
BYTE_ENCODING = "latin-1"  # each byte is a character of it
INDEX_SUFFIX = re.compile(r"\[\d{0,2}\]\Z")
LINE_ENDS = re.compile(r"[\r\n]")


@dataclass(frozen=True, slots=True)
class FormParts:
    """The parts of a form. Clients that write every file as a list put brackets behind its name.

    Attributes:
        images: Names of files that may come several times.
        single: Names of files that come once.
        texts: The struct whose fields are the texts.
    """

    images: frozenset[str]
    single: frozenset[str]
    texts: type[Body]

    def file_name(self, name: str) -> str | None:
        """Return the file name that a part's name stands for; None for a text."""
        plain = INDEX_SUFFIX.sub("", name)
        return plain if plain in self.images | self.single else None

    def has_text(self, name: str) -> bool:
        """Whether a part of this name is a field, or inside of one."""
        return bracket_names(name)[0] in self.texts.__struct_encode_fields__

    def unknown_part_error(self, name: str, *, is_file: bool) -> UnknownParameter:
        """Build the refusal of a part that has no place in the form."""
        files = ", ".join(f"'{part}'" for part in sorted(self.images) + sorted(self.single))
        return unknown_parameter_error(name, f" Files of this form are {files}." if is_file else "")


EDIT_FORM = FormParts(images=frozenset({"image"}), single=frozenset({"mask", "markup"}), texts=EditForm)
FILE_FORM = FormParts(images=frozenset(), single=frozenset({"file"}), texts=FileForm)


@dataclass(slots=True)
class Form:
    """A received form. `filenames` has the caller's name of each single file."""

    texts: dict[str, str] = field(default_factory=dict)
    images: list[Reference] = field(default_factory=list)
    single: dict[str, Reference] = field(default_factory=dict)
    filenames: dict[str, str] = field(default_factory=dict)


async def read_form(request: Http, limits: BodyLimits, parts: FormParts, uploads: Uploads) -> Form:
    """Receive a form.

    Raises:
        RequestError: the form is malformed, too large or too slow, or has an unknown part.
    """
    _, options = parse_options_header(request.headers.get("content-type", ""))
    builder = _FormBuilder(parts, uploads)
    try:
        with PushMultipartParser(
            options.get("boundary", ""), header_charset=BYTE_ENCODING, max_segment_count=MAX_PARTS
        ) as parser:
            async with aclosing(read_chunks(request, limits.max_form_bytes, limits.arrival)) as body:
                async for chunk in body:
                    for event in parser.parse(chunk):
                        builder.feed(event)
    except MultipartError as broken:
        raise MalformedBody(f"The form cannot be read: {broken.args[0]}.", code="invalid_form") from None
    return builder.form


class _FormBuilder:
    """A form that grows with the parser's events: a segment begins, bytes arrive, None ends the segment."""

    def __init__(self, parts: FormParts, uploads: Uploads) -> None:
        self.form = Form()
        self._parts = parts
        self._name = ""
        self._filename = ""
        self._spool = uploads.new_spool()
        self._upload: Upload | None = None
        self._text = bytearray()

    def feed(self, event: MultipartSegment | bytearray | None) -> None:
        if isinstance(event, MultipartSegment):
            self._begin(event)
        elif event is None:
            self._end()
        elif self._upload:
            self._upload.write(event)
        else:
            self._add_text(event)

    def _begin(self, segment: MultipartSegment) -> None:
        if any(
            LINE_ENDS.search(value) for _, value in segment.headerlist
        ):  # the parser's own check depends on the cut into chunks
            raise MalformedBody("The form cannot be read: Invalid line break in segment header.", code="invalid_form")
        name, filename = decode_name(segment.name), segment.filename
        file = self._parts.file_name(name)
        self._name = file or name
        self._text.clear()
        self._upload = None
        if file is None:
            if not self._parts.has_text(name):
                raise self._parts.unknown_part_error(name, is_file=filename is not None)
            return
        if filename is None:
            raise InvalidValue(f"'{name}' must be a file, and its part has no filename.", param=file)
        is_image = file in self._parts.images
        self._filename = decode_name(filename)
        label = f"{file}[{len(self.form.images)}]" if is_image else file
        self._upload = self._spool.begin(label)

    def _add_text(self, chunk: bytes | bytearray) -> None:
        self._text += chunk
        if len(self._text) > MAX_TEXT_BYTES:
            name = self._name[:MAX_ECHOED_CHARS]
            raise TooLarge(f"'{name}' is larger than {MAX_TEXT_BYTES} bytes.", param=name)

    def _end(self) -> None:
        if self._upload is None:
            self._end_text()
        elif not (self._upload.length or self._filename):
            pass  # an empty input of a browser's form
        elif self._name in self.form.single:
            raise InvalidValue(f"'{self._name}' was given twice.", param=self._name)
        elif self._name in self._parts.single:
            self.form.filenames[self._name] = self._filename
            self.form.single[self._name] = self._upload.finish()
        else:
            self.form.images.append(self._upload.finish())

    def _end_text(self) -> None:
        name = self._name[:MAX_ECHOED_CHARS]
        try:
            text = self._text.decode()
        except UnicodeDecodeError:
            raise MalformedBody(f"'{name}' is not UTF-8 text.", param=name, code="invalid_form") from None
        if self.form.texts.setdefault(self._name, text) != text:
            raise InvalidValue(f"'{name}' was given twice, with different values.", param=name)


def decode_name(text: str) -> str:
    """Decode the name of a part or file. The parser gives bytes as Latin-1, or text that was percent-encoded."""
    try:
        return text.encode(BYTE_ENCODING).decode()
    except UnicodeError:
        return text
