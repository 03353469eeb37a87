"""Rules of OpenAI's Images API, as tables. `check_request` returns the request with every default filled in.

Rule: as strict as the vendor is known to be, because a lenient simulator hides a gateway's mistakes. Where the vendor's
reaction is unknown, the simulator refuses values that its documentation forbids and accepts the rest. Examples are
`moderation` in forms, and in JSON edits the fields that are younger than the published schema.
"""

import io
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from PIL import Image

from tests.simulators.images import parse_size
from tests.simulators.openai_models import MODELS, Family
from tests.simulators.recording import Recorded, RecordedFile

MAX_FILES = 16
MAX_FILE = 50_000_000
MAX_LINK = 20_971_520
MAX_PROMPT = 32_000
MAX_EDGE, MIN_PIXELS, MAX_PIXELS = 3840, 655_360, 8_294_400
MIMETYPES = ("image/jpeg", "image/png", "image/webp")
SIGNATURES = re.compile(rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|RIFF....WEBP", re.DOTALL)

Ask = dict[str, Any]


class Refused(Exception):
    """A request that the vendor refuses."""

    def __init__(
        self, message: str, *, param: str | None = None, code: str | None = "invalid_value", status: int = 400
    ) -> None:
        super().__init__(message)
        self.message, self.param, self.code, self.status = message, param, code, status


GENERATION: dict[str, str] = {
    "prompt": "string",
    "model": "string",
    "n": "integer",
    "size": "string",
    "quality": "string",
    "background": "string",
    "output_format": "string",
    "output_compression": "integer",
    "moderation": "string",
    "complexity": "string",
    "stream": "boolean",
    "partial_images": "integer",
    "frame_count": "integer",
    "frame_duration_ms": "integer",
    "svg": "object",
    "safety_identifier": "string",
    "user": "string",
}
FORM_EDIT = GENERATION | {"input_fidelity": "string"}
JSON_EDIT = FORM_EDIT | {"images": "array", "mask": "object", "markup": "object"}
FILE_PARTS = ("image", "image[]", "mask", "markup")
SVG_PARTS: dict[str, tuple[str, ...]] = {"svg[model]": ("model",), "svg[reasoning][effort]": ("reasoning", "effort")}

DEFAULTS: Ask = dict.fromkeys(JSON_EDIT) | {
    "n": 1,
    "size": "auto",
    "quality": "auto",
    "background": "auto",
    "output_format": "png",
    "stream": False,
    "partial_images": 0,
}
TYPES: Mapping[str, type] = {"string": str, "integer": int, "boolean": bool, "object": dict, "array": list}
RANGES: Mapping[str, tuple[int, int]] = {
    "n": (1, 10),
    "output_compression": (0, 100),
    "partial_images": (0, 3),
    "frame_count": (2, 16),
    "frame_duration_ms": (1, 655_350),
}
ENUMS: dict[str, tuple[str, ...]] = {
    "background": ("transparent", "opaque", "auto"),
    "moderation": ("auto", "low"),
    "complexity": ("low", "medium", "high"),
    "input_fidelity": ("high", "low"),
}

TRANSPARENT = "Transparent background is not supported for this output format. Use 'png' or 'webp'."
CLASHES: tuple[tuple[str, Callable[[Ask, Family], bool], str], ...] = (
    (
        "background",
        lambda ask, _: ask["background"] == "transparent" and _form(ask) not in ("png", "webp"),
        TRANSPARENT,
    ),
    (
        "output_compression",
        lambda ask, _: _form(ask) not in ("jpeg", "webp") and ask["output_compression"] not in (None, 100),
        "Compression less than 100 is supported for 'jpeg' and 'webp' only.",
    ),
    ("partial_images", lambda ask, _: ask["partial_images"] and not ask["stream"], "This parameter requires 'stream'."),
    ("stream", lambda ask, _: ask["stream"] and _form(ask) in ("gif", "svg"), "This format cannot be streamed."),
    ("mask", lambda ask, _: bool(ask["mask"]) and _form(ask) == "gif", "A mask cannot be used with 'gif'."),
    ("n", lambda ask, _: ask["n"] != 1 and _form(ask) == "svg", "Only one 'svg' can be requested."),
    ("markup", lambda ask, _: bool(ask["markup"] and ask["mask"]), "Use either 'mask' or 'markup'."),
    ("markup", lambda ask, of: bool(ask["markup"]) and not of.markup, "Markup is not supported for this model."),
    (
        "complexity",
        lambda ask, of: ask["complexity"] is not None and not of.complexity,
        "Complexity is not supported for this model.",
    ),
    (
        "input_fidelity",
        lambda ask, of: ask["input_fidelity"] is not None and ask["input_fidelity"] not in of.fidelities,
        "This input fidelity is not supported for this model.",
    ),
    ("svg", lambda ask, _: ask["svg"] is not None and _form(ask) != "svg", "This parameter requires 'svg' output."),
    *(
        (name, lambda ask, _, name=name: ask[name] is not None and _form(ask) != "gif", "This requires 'gif' output.")
        for name in ("frame_count", "frame_duration_ms")
    ),
)


def check_request(request: Recorded, *, edit: bool) -> tuple[Ask, Family]:
    """Return the request with every default filled in, and its family. Raises `Refused`."""
    if request.malformed:
        raise Refused(request.malformed, code=None)
    is_form = request.content_type == "multipart/form-data"
    ask = _form_fields(request, edit=edit) if is_form else _json_fields(request.fields, edit=edit)
    family = _family(ask)
    _check_values(ask, family)
    if edit:
        (_check_files if is_form else _check_links)(ask)
    for param, clashes, message in CLASHES:
        if clashes(ask, family):
            raise Refused(message, param=param)
    return ask, family


def _form(ask: Ask) -> str:
    return str(ask["output_format"])


def _json_fields(fields: Ask, *, edit: bool) -> Ask:
    known = JSON_EDIT if edit else GENERATION
    present = {name: value for name, value in fields.items() if value is not None or name not in known}
    for name, value in present.items():
        _known(name, known)
        if type(value) is not TYPES[known[name]]:
            raise _wrong_type(name, known[name])
    for name in present.get("svg", {}):
        _known(f"svg.{name}", ("svg.model", "svg.reasoning"))
    return DEFAULTS | present


def _form_fields(request: Recorded, *, edit: bool) -> Ask:
    if not edit:
        raise Refused("Unsupported content type: 'multipart/form-data'. Use 'application/json'.", code=None)
    ask = dict(DEFAULTS)
    for name, text in request.fields.items():
        if name in FILE_PARTS:
            raise Refused(f"Invalid type for '{name}': expected a file.", param=name, code="invalid_type")
        _known(name, (*FORM_EDIT, *SVG_PARTS))
        if isinstance(text, list):
            raise _duplicate(name)
        _put(ask, name, text)
    return ask | _files(request.files)


def _put(ask: Ask, name: str, text: str) -> None:
    if name not in SVG_PARTS:
        ask[name] = _convert(name, text)
        return
    *branches, leaf = "svg", *SVG_PARTS[name]
    for branch in branches:
        if not isinstance(ask.get(branch), dict):
            ask[branch] = {}
        ask = ask[branch]
    ask[leaf] = text


def _convert(name: str, text: str) -> object:
    kind = FORM_EDIT[name]
    if kind == "integer" and re.fullmatch(r"-?\d{1,9}", text):
        return int(text)
    if kind == "boolean" and text in ("true", "false"):
        return text == "true"
    if kind != "string":
        raise _wrong_type(name, kind)
    return text


def _files(files: Iterable[RecordedFile]) -> Ask:
    """Group the files by field: `images` is a list, an overlay is a single file."""
    images, overlays = [], {}
    for file in files:
        _known(file.part_name, FILE_PARTS)
        if file.part_name in overlays:
            raise _duplicate(file.part_name)
        if file.part_name == "image[]":
            images.append(file)
        else:
            overlays[file.part_name] = file
    if "image" in overlays:
        images.insert(0, overlays.pop("image"))
    return {"images": images, **overlays}


def _known(name: str, known: Iterable[str]) -> None:
    if name not in known:
        raise Refused(f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")


def _wrong_type(name: str, kind: str) -> Refused:
    article = "an" if kind[0] in "aeiou" else "a"
    return Refused(f"Invalid type for '{name}': expected {article} {kind}.", param=name, code="invalid_type")


def _duplicate(name: str) -> Refused:
    message = (
        f"Duplicate parameter: '{name}'. You provided multiple values for this parameter, whereas only one is allowed. "
        f"If you are trying to provide a list of values, use the array syntax instead e.g. '{name}[]=<value>'."
    )
    return Refused(message, param=name, code="duplicate_parameter")


def _missing(name: str) -> Refused:
    return Refused(f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")


def _family(ask: Ask) -> Family:
    if ask["model"] is None:
        raise _missing("model")
    if ask["model"] not in MODELS:
        message = f"The model '{ask['model']}' does not exist or you do not have access to it."
        raise Refused(message, param="model", code="model_not_found", status=404)
    return MODELS[ask["model"]]


def _check_values(ask: Ask, family: Family) -> None:
    if not ask["prompt"]:
        raise _missing("prompt")
    _check_length(ask, "prompt", MAX_PROMPT)
    _check_length(ask, "safety_identifier", 128)
    for name, (least, most) in RANGES.items():
        if name != "partial_images" or ask[name]:
            _check_range(ask, name, least, most)
    enums = ENUMS | {"quality": (*family.tiers, "auto"), "output_format": family.forms}
    for name, values in (enums | ({"size": family.sizes} if family.sizes else {})).items():
        _check_enum(ask, name, values)
    check_size(ask["size"])


def _check_length(ask: Ask, name: str, most: int) -> None:
    if ask[name] is not None and len(ask[name]) > most:
        message = f"Invalid '{name}': string too long. Expected a string with maximum length {most}."
        raise Refused(message, param=name, code="string_above_max_length")


def _check_range(ask: Ask, name: str, least: int, most: int) -> None:
    value = ask[name]
    if value is None or least <= value <= most:
        return
    word, sign, bound = ("below minimum", ">=", least) if value < least else ("above maximum", "<=", most)
    message = f"Invalid '{name}': integer {word} value. Expected a value {sign} {bound}, but got {value} instead."
    raise Refused(message, param=name, code=f"integer_{word.replace(' ', '_').replace('imum', '')}_value")


def _check_enum(ask: Ask, name: str, values: tuple[str, ...]) -> None:
    value = ask[name]
    if value is not None and value not in values:
        listed = ", ".join(f"'{known}'" for known in values[:-1])
        supported = f"{listed}{' and ' if listed else ''}'{values[-1]}'"
        raise Refused(f"Invalid value: '{value}'. Supported values are: {supported}.", param=name)


def check_size(size: str) -> None:
    """Check a free size, with the vendor's messages."""
    if size == "auto":
        return
    if not re.fullmatch(r"\d{1,5}x\d{1,5}", size):
        raise Refused(f"Invalid size '{size}'. Expected 'auto' or WIDTHxHEIGHT.", param="size")
    width, height = parse_size(size)
    for broken, message in (
        (width % 16 or height % 16, "Width and height must both be divisible by 16."),
        (max(width, height) > MAX_EDGE, "The longest edge must be less than or equal to 3840."),
        (width * height < MIN_PIXELS, "Requested resolution is below the current minimum pixel budget."),
        (width * height > MAX_PIXELS, "Requested resolution is above the current maximum pixel budget."),
        (max(width, height) > 3 * min(width, height), "The aspect ratio must be between 1:3 and 3:1."),
    ):
        if broken:
            raise Refused(f"Invalid size '{size}'. {message}", param="size")


def _check_files(ask: Ask) -> None:
    if not ask["images"]:
        raise _missing("image")
    _check_count(ask["images"], "image")
    for index, file in enumerate(ask["images"]):
        _check_file(file, f"image[{index}]", index + 1, MIMETYPES)
    for name in ("mask", "markup"):
        if ask[name]:
            _check_file(ask[name], name, 1, ("image/png",))
            _check_overlay(ask[name], ask["images"][0], name)


def _check_count(images: list[Any], name: str) -> None:
    if len(images) > MAX_FILES:
        message = f"Invalid '{name}': array too long. Expected an array with maximum length 16, but got {len(images)}."
        raise Refused(message, param=name, code="array_above_max_length")


def _check_file(file: RecordedFile, name: str, number: int, mimetypes: tuple[str, ...]) -> None:
    if file.content_type not in mimetypes:
        message = (
            f"Invalid file '{name}': unsupported mimetype ('{file.content_type}'). "
            "Supported file formats are 'image/jpeg', 'image/png', and 'image/webp'."
        )
        raise Refused(message, param=name.split("[", maxsplit=1)[0], code="unsupported_file_mimetype")
    if file.length >= MAX_FILE:
        raise Refused(f"Invalid file '{name}': file too large.", param=name, code="image_file_too_large")
    if not SIGNATURES.match(file.head):
        message = f"Invalid image file or mode for image {number}, please check your image file."
        raise Refused(message, param="image", code="invalid_image_file")


def _check_overlay(overlay: RecordedFile, image: RecordedFile, name: str) -> None:
    """Check the properties that need the image's bytes."""
    if overlay.body is None:
        return
    over = _open_image(overlay.body, name)
    if "A" not in over.getbands() and "transparency" not in over.info:
        raise Refused(f"Invalid {name} image format - {name} image missing alpha channel", param=name, code=None)
    if image.body is not None and _open_image(image.body, "image").size != over.size:
        raise Refused(f"Invalid {name} image format - {name} size does not match image size", param=name, code=None)


def _open_image(body: bytes, name: str) -> Image.Image:
    try:
        return Image.open(io.BytesIO(body))
    except OSError:
        message = "Invalid image file or mode for image 1, please check your image file."
        raise Refused(message, param=name, code="invalid_image_file") from None


def _check_links(ask: Ask) -> None:
    if not ask["images"]:
        raise _missing("images")
    _check_count(ask["images"], "images")
    overlays = {name: ask[name] for name in ("mask", "markup") if ask[name] is not None}
    for name, link in ({f"images[{at}]": link for at, link in enumerate(ask["images"])} | overlays).items():
        _check_link(link, name)


def _check_link(link: object, name: str) -> None:
    if not isinstance(link, dict):
        raise _wrong_type(name, "object")
    for key in link:
        _known(f"{name}.{key}", (f"{name}.image_url", f"{name}.file_id"))
    if len(link) != 1:
        raise Refused(f"Invalid '{name}': expected exactly one of 'image_url' and 'file_id'.", param=name)
    url = link.get("image_url", "https://")
    if not isinstance(url, str) or not url.startswith(("https://", "data:image/")):
        raise Refused(
            f"Invalid '{name}.image_url'. Expected an https or data URL.", param=name, code="invalid_image_url"
        )
    if len(url) > MAX_LINK:
        raise Refused(f"Invalid '{name}.image_url': string too long.", param=name, code="string_above_max_length")
