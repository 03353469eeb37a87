"""The canonical request: what picture is wanted, whatever the wire called it.

Rule: two spellings of the same wish (field order, null, a default said aloud) are the same `Spec`; what is not a
default is a *demand*, and a demand is honoured by a backend or refused by name, never dropped. Wrong values raise
`InvalidValue`.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from math import gcd
from typing import BinaryIO, Protocol

from service.domain import errors

SIZE_PATTERN = re.compile(r"([1-9]\d{0,5})x([1-9]\d{0,5})", re.ASCII)
FORMATS_WITH_ALPHA = frozenset({"png", "webp"})
FORMATS_WITH_COMPRESSION = frozenset({"jpeg", "webp"})


class Operation(StrEnum):
    """The two things a caller can ask for."""

    GENERATE = "generate"
    EDIT = "edit"


@dataclass(frozen=True, slots=True)
class Size:
    """Width and height in pixels."""

    width: int
    height: int

    @classmethod
    def parse(cls, text: str) -> "Size":
        """Read `WxH`."""
        match = SIZE_PATTERN.fullmatch(text)
        if match is None:
            raise errors.InvalidValue(
                f"Invalid size '{text[:40]}'. Use 'auto' or WIDTHxHEIGHT in pixels, such as 1024x1024.",
                param="size",
                code="invalid_value",
            )
        return cls(int(match[1]), int(match[2]))

    @property
    def pixels(self) -> int:
        """Area in pixels."""
        return self.width * self.height

    @property
    def ratio(self) -> str:
        """The reduced aspect ratio, such as 16:9."""
        divisor = gcd(self.width, self.height)
        return f"{self.width // divisor}:{self.height // divisor}"

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


class Content(Protocol):
    """A picture's bytes, wherever they lie. Each `open` gives a reader of its own, at the start."""

    @property
    def length(self) -> int:
        """Bytes."""
        ...

    def open(self) -> BinaryIO:
        """A reader at the first byte."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A picture that the caller brings: uploaded, inlined, linked, or kept. `param` is what the caller called it.

    `digest` stands for the bytes (for a link that is relayed, for its address), so it is what identity rests on.
    `stored_name` is its name in the picture store; it is empty where an id leads nowhere.
    """

    param: str = field(compare=False)
    digest: str
    media_type: str = ""
    content: Content | None = field(default=None, compare=False, repr=False)
    link: str | None = field(default=None, repr=False)
    stored_name: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One canonical request. Every default here means "the caller did not ask for anything particular"."""

    operation: Operation
    model: str
    prompt: str = field(repr=False)
    n: int = 1
    size: Size | None = None
    tier: str | None = None
    background: str | None = None
    output_format: str = "png"
    output_compression: int | None = None
    moderation: str | None = None
    complexity: str | None = None
    frame_count: int | None = None
    frame_duration_ms: int | None = None
    svg: Mapping[str, object] | None = None
    input_fidelity: str | None = None
    references: tuple[Reference, ...] = ()
    mask: Reference | None = None
    markup: Reference | None = None
    seed: int | None = None
    steps: int | None = None
    guidance_scale: float | None = None
    negative_prompt: str | None = field(default=None, repr=False)
    image_loras: tuple[Mapping[str, object], ...] | None = None
    disable_safety_checker: bool = False
    safety_identifier: str | None = field(default=None, repr=False)
    user: str | None = field(default=None, repr=False)


EXTENSIONS = frozenset(
    {
        "seed",
        "steps",
        "guidance_scale",
        "negative_prompt",
        "image_loras",
        "disable_safety_checker",
        "reference_images",
    },
)
"""Fields that OpenAI's API does not have; where a model lacks them they are unknown parameters, as at OpenAI."""

REQUIRED_FEATURES: Mapping[str, Callable[[Spec], object]] = {
    "quality": lambda spec: spec.tier,
    "background": lambda spec: spec.background == "transparent",
    "output_compression": lambda spec: spec.output_compression is not None,
    "moderation": lambda spec: spec.moderation,
    "complexity": lambda spec: spec.complexity,
    "frame_count": lambda spec: spec.frame_count,
    "frame_duration_ms": lambda spec: spec.frame_duration_ms is not None,
    "svg": lambda spec: spec.svg is not None,
    "input_fidelity": lambda spec: spec.input_fidelity,
    "image": lambda spec: spec.operation is Operation.EDIT,
    "reference_images": lambda spec: spec.operation is Operation.GENERATE and spec.references,
    "mask": lambda spec: spec.mask,
    "markup": lambda spec: spec.markup,
    "seed": lambda spec: spec.seed is not None,
    "steps": lambda spec: spec.steps is not None,
    "guidance_scale": lambda spec: spec.guidance_scale is not None,
    "negative_prompt": lambda spec: spec.negative_prompt,
    "image_loras": lambda spec: spec.image_loras,
    "disable_safety_checker": lambda spec: spec.disable_safety_checker,
}
"""Field → does this spec ask for something that not every backend can do? Names are those of the wire."""


def required_features(spec: Spec) -> tuple[str, ...]:
    """The fields that a model and a backend must both be able to honour, in the order of the table."""
    return tuple(name for name, asked in REQUIRED_FEATURES.items() if asked(spec))


@dataclass(frozen=True, slots=True)
class FieldConflict:
    """Two fields that cannot be honoured together, at any vendor."""

    param: str
    applies: Callable[[Spec], object]
    message: str


CONFLICTS = (
    FieldConflict(
        "background",
        lambda spec: spec.background == "transparent" and spec.output_format not in FORMATS_WITH_ALPHA,
        "A transparent background needs output_format png or webp.",
    ),
    FieldConflict(
        "output_compression",
        lambda spec: spec.output_compression is not None and spec.output_format not in FORMATS_WITH_COMPRESSION,
        "output_compression needs output_format jpeg or webp.",
    ),
    FieldConflict(
        "mask",
        lambda spec: spec.mask and spec.output_format == "gif",
        "mask cannot be combined with output_format gif.",
    ),
    FieldConflict("markup", lambda spec: spec.markup and spec.mask, "markup cannot be combined with mask."),
    FieldConflict("n", lambda spec: spec.output_format == "svg" and spec.n != 1, "output_format svg needs n to be 1."),
    FieldConflict(
        "svg", lambda spec: spec.svg is not None and spec.output_format != "svg", "svg needs output_format svg."
    ),
    FieldConflict(
        "frame_count",
        lambda spec: spec.frame_count and spec.output_format != "gif",
        "frame_count needs output_format gif.",
    ),
    FieldConflict(
        "frame_duration_ms",
        lambda spec: spec.frame_duration_ms is not None and spec.output_format != "gif",
        "frame_duration_ms needs output_format gif.",
    ),
    FieldConflict(
        "image",
        lambda spec: spec.operation is Operation.EDIT and not spec.references,
        "An edit needs at least one picture in image, image[] or images.",
    ),
)
"""The combinations that must fail, from the vendor's documented rules (`docs/vendors.md`)."""


def check_conflicts(spec: Spec) -> None:
    """Raise `InvalidValue` for the first pair of fields that exclude each other."""
    for conflict in CONFLICTS:
        if conflict.applies(spec):
            raise errors.InvalidValue(conflict.message, param=conflict.param, code="invalid_value")


IDENTITY_EXCLUDED = frozenset({"safety_identifier", "user"})
"""Who asks does not change what is asked for."""

IDENTITY = tuple(spec_field.name for spec_field in fields(Spec) if spec_field.name not in IDENTITY_EXCLUDED)


def fingerprint(spec: Spec) -> str:
    """The SHA-256 of everything that decides which picture comes back, as 64 hex digits."""
    canonical = [(name, _canonical(getattr(spec, name))) for name in IDENTITY]
    return hashlib.sha256(repr(canonical).encode()).hexdigest()


def _canonical(value: object) -> object:
    """A value whose `repr` depends on nothing but the value."""
    if value is None:  # most of what can be asked for is not
        return None
    match value:
        case Operation() | Size():
            return str(value)
        case Reference():
            return ("reference", value.digest)
        case tuple():
            return [_canonical(item) for item in value]
        case Mapping():
            return sorted((key, _canonical(item)) for key, item in value.items())
        case _:
            return value
