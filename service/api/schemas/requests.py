"""Request bodies of the data plane: their structs, and the decoding of JSON and forms into structs.

Rule: null means an absent field. Tiers, formats and sizes are plain strings, because the catalog decides which are
allowed.

Fails with: `UnknownParameter` for a field that is not declared; `InvalidValue` for a wrong type; `MissingParameter` for
an absent required field; `MalformedBody` for broken JSON. The first three name the field.
"""

import codecs
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from service.api.schemas.allowed_values import allowed_values, without_nulls
from service.domain.errors import InvalidValue, MalformedBody, MissingParameter, RequestError, UnknownParameter

T = TypeVar("T")

Prompt = Annotated[str, Meta(min_length=1, max_length=32_000, description="Description of the images.")]
ImageAddress = Annotated[
    msgspec.Raw,
    Meta(description="An https address or a data URL.", extra_json_schema={"type": ["string", "null"]}),
]


def unset_url() -> msgspec.Raw:
    """Return the value of an absent address."""
    return msgspec.Raw(b"null")


class Body(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, frozen=True):
    """The base of all bodies: an unknown field is an error."""


class Reasoning(Body, frozen=True, kw_only=True):
    """Reasoning of the model that writes an SVG."""

    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None


class Svg(Body, frozen=True, kw_only=True):
    """Options for output_format svg."""

    model: str | None = None
    reasoning: Reasoning | None = None


class ImageFields(Body, frozen=True, kw_only=True):
    """Fields of generations and edits."""

    prompt: Prompt
    model: Annotated[str, Meta(description="A model of GET /v1/models.")] | None = None
    n: Annotated[int, Meta(ge=1, le=10, description="Number of images.")] | None = None
    size: Annotated[str, Meta(description="auto or WIDTHxHEIGHT in pixels.")] | None = None
    quality: Annotated[str, Meta(description="auto or a tier of the model: low, medium, high, ...")] | None = None
    background: Literal["transparent", "opaque", "auto"] | None = None
    output_format: Annotated[str, Meta(description="png, jpeg or webp; some models also gif and svg.")] | None = None
    output_compression: Annotated[int, Meta(ge=0, le=100, description="For jpeg and webp.")] | None = None
    response_format: Annotated[
        Literal["b64_json", "url", "base64"] | None,
        Meta(description="url: an address of this gateway, which expires. base64 is an alias of b64_json."),
    ] = None
    moderation: Literal["auto", "low"] | None = None
    complexity: Literal["low", "medium", "high"] | None = None
    frame_count: Annotated[int, Meta(ge=2, le=16, description="For gif.")] | None = None
    frame_duration_ms: Annotated[int, Meta(ge=10, le=655_350, description="For gif.")] | None = None
    svg: Svg | None = None
    stream: Annotated[bool, Meta(description="Reply with server-sent events; not for gif and svg.")] | None = None
    partial_images: (
        Annotated[int, Meta(ge=0, le=3, description="Number of previews, if the backend sends previews. Needs stream.")]
        | None
    ) = None
    safety_identifier: Annotated[str, Meta(max_length=128, description="Your end user; passed on hashed.")] | None = (
        None
    )
    user: Annotated[str, Meta(description="Deprecated: use safety_identifier.")] | None = None


class GenerateBody(ImageFields, frozen=True, kw_only=True):
    """The body of POST /v1/images/generations. Fields from `seed` on work with models that declare them."""

    seed: int | None = None
    steps: Annotated[int, Meta(ge=1, le=50)] | None = None
    guidance_scale: float | None = None
    guidance: Annotated[float | None, Meta(description="Alias of guidance_scale.")] = None
    negative_prompt: str | None = None
    width: Annotated[int, Meta(ge=1, description="With height, in place of size.")] | None = None
    height: Annotated[int, Meta(ge=1)] | None = None
    image_url: ImageAddress = msgspec.field(default_factory=unset_url)
    reference_images: list[ImageAddress] | None = None
    image_loras: list[dict[str, str | float]] | None = None
    disable_safety_checker: bool | None = None


class ImageRef(Body, frozen=True, kw_only=True):
    """An image, by exactly one of the two fields."""

    image_url: ImageAddress = msgspec.field(default_factory=unset_url)
    file_id: Annotated[
        str | None, Meta(description="Id of an image that this gateway generated for you, or of POST /v1/files.")
    ] = None


class EditBody(ImageFields, frozen=True, kw_only=True):
    """The JSON body of POST /v1/images/edits."""

    images: Annotated[list[ImageRef], Meta(min_length=1, max_length=16)]
    mask: ImageRef | None = None
    input_fidelity: Literal["high", "low"] | None = None


class EditForm(ImageFields, frozen=True, kw_only=True):
    """The text parts of POST /v1/images/edits as a form; the images are files."""

    input_fidelity: Literal["high", "low"] | None = None


VISION = "vision"
PURPOSES = (
    *("assistants", "assistants_output", "batch", "batch_output", "evals", "fine-tune", "fine-tune-results"),
    *("user_data", VISION),
)
"""OpenAI's purposes of files. This gateway accepts only the last one."""


class ExpiresAfter(Body, frozen=True, kw_only=True):
    """The expiry of a file. A shorter lifetime in the settings of the gateway takes precedence."""

    anchor: Literal["created_at"]
    seconds: Annotated[int, Meta(ge=3600, le=2_592_000)]


class FileForm(Body, frozen=True, kw_only=True):
    """The text parts of POST /v1/files; the image is the file."""

    purpose: Annotated[Literal["vision"], Meta(description="All files are images.")]
    expires_after: ExpiresAfter | None = None


_MISSING = re.compile(r"Object missing required field `(?P<name>.+?)`")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.*)`", re.DOTALL)
BOM = codecs.BOM_UTF8
TRUNCATED = "Input data was truncated"
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
LONE_SURROGATE = re.compile(  # with the bytes after it, because a body may end within a pair
    rb"(?<!\\)(?:\\\\)*\\u[dD][89abAB][0-9a-fA-F]{2}(?:[^\\]|\\[^u]|\\u(?:[^dD]|[dD][^c-fC-F]))"
)
MAX_ECHOED_CHARS = 200  # characters of a caller's own words in a refusal


def decode_json(body: bytes | bytearray, kind: type[T]) -> T:
    """Decode a JSON body into a struct. A byte order mark is skipped."""
    text = memoryview(body)[len(BOM) :] if body.startswith(BOM) else body
    try:
        return _with_nulls(text, kind)
    except msgspec.ValidationError as invalid:
        raise to_request_error(str(invalid), kind) from None
    except RecursionError:
        raise MalformedBody("The body is nested too deeply.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as broken:
        raise MalformedBody(f"The body is not valid JSON: {_json_fault(broken, body)}.") from None


def _with_nulls(text: bytes | bytearray | memoryview, kind: type[T]) -> T:
    """Decode a body whose nulls count as absent fields, declared or not. Raises the errors of msgspec."""
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.ValidationError:
        bare = without_nulls(text, kind)
        if bare is None:
            raise
    return msgspec.json.decode(bare, type=kind)


def decode_form(parts: Mapping[str, str], kind: type[T]) -> T:
    """Decode the texts of a form into a struct. Numbers and booleans are texts; nested fields have brackets."""
    try:
        return msgspec.convert(_nest_brackets(parts), kind, strict=False)
    except msgspec.ValidationError as invalid:
        raise to_request_error(str(invalid), kind) from None


def bracket_names(name: str) -> list[str]:
    """Split the name of a form's field: `svg[reasoning][effort]` has three parts."""
    return re.findall(r"[^\[\]]+", name) or [name]


def _nest_brackets(parts: Mapping[str, str]) -> dict[str, object]:
    """Nest the texts of a form: `svg[reasoning][effort]` becomes an object in an object."""
    root: dict[str, object] = {}
    for name, value in parts.items():
        *outer, last = bracket_names(name)
        place = root
        for step in outer:
            inner = place.setdefault(step, {})
            if not isinstance(inner, dict):
                raise InvalidValue(f"'{step}' is both a value and an object.", param=step)
            place = inner
        place[last] = value
    return root


def _json_fault(error: Exception, body: bytes | bytearray) -> str:
    """Describe a fault of JSON without its content. msgspec reports half a surrogate pair as a truncated body."""
    if isinstance(error, UnicodeDecodeError) or body.startswith(UTF_16):
        return "it is not UTF-8"
    if not body.removeprefix(BOM).strip():
        return "it is empty"
    if str(error) == TRUNCATED and LONE_SURROGATE.search(body):
        return "an escape such as \\ud83d is half of a surrogate pair, and the other half does not follow"
    return str(error).partition(" (")[0]


def to_request_error(message: str, kind: type[Any]) -> RequestError:
    """Convert a message of msgspec into an error that names the field."""
    reason, _, place = message.partition(" - at `$")
    path = place.rstrip("`").lstrip(".")
    unknown, missing = _UNKNOWN.match(reason), _MISSING.match(reason)
    if unknown:
        return unknown_parameter_error(_field_path(path, unknown["name"]))
    if missing:
        name = _field_path(path, missing["name"])
        return MissingParameter(f"Missing required parameter: '{name}'.", param=name)
    if not path:
        return MalformedBody("The body must be a JSON object.")
    must = allowed_values(kind, path)
    return InvalidValue(f"Invalid value for '{path}'. {f'It must be {must}' if must else reason}.", param=path)


def unknown_parameter_error(name: str, advice: str = "") -> UnknownParameter:
    """Build the refusal of a field that is not declared."""
    name = name[:MAX_ECHOED_CHARS]
    return UnknownParameter(f"Unknown parameter: '{name}'.{advice}", param=name)


def _field_path(path: str, name: str) -> str:
    """Join and shorten the name of a field, because a caller's name may have megabytes."""
    return (f"{path}.{name}" if path else name)[:MAX_ECHOED_CHARS]
