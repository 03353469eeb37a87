"""The spec of a request: the requested images in one canonical form.

Rule: two spellings of one request (field order, null, an explicit default) give equal specs. A value that is not a
default is a *demand*. A backend honours a demand, or the gateway refuses it by name; no demand is dropped. Pure.

Fails with: `InvalidValue` for wrong values.
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
    """The kind of an image request."""

    GENERATE = "generate"
    EDIT = "edit"


@dataclass(frozen=True, slots=True)
class Size:
    """Width and height in pixels."""

    width: int
    height: int

    @classmethod
    def parse(cls, text: str) -> "Size":
        """Parse `WxH`."""
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
    """The bytes of an image, in memory or in a file. Each `open` returns a new reader."""

    @property
    def length(self) -> int:
        """Number of bytes."""
        ...

    def open(self) -> BinaryIO:
        """Open a reader at the first byte."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """An input image of a caller: uploaded, inline, linked or stored.

    Attributes:
        param: The caller's name of the field.
        digest: Digest of the bytes, or of the address of a relayed link. It is the image's identity in the fingerprint.
        stored_name: Name in the image store; empty if no image has the requested id.
    """

    param: str = field(compare=False)
    digest: str
    media_type: str = ""
    content: Content | None = field(default=None, compare=False, repr=False)
    link: str | None = field(default=None, repr=False)
    stored_name: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One canonical request. Every default means that the caller asked for nothing particular."""

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
"""Fields that OpenAI's API lacks. A model without such a field treats it as an unknown parameter, as OpenAI does."""

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
"""By field: a function that tells whether a spec needs a feature that not every backend has. Names are those of the
API.
"""


def required_features(spec: Spec) -> tuple[str, ...]:
    """Return the fields that a model and a backend must both honour, in the order of the table."""
    return tuple(name for name, requires in REQUIRED_FEATURES.items() if requires(spec))


@dataclass(frozen=True, slots=True)
class FieldConflict:
    """Two fields that no vendor can honour together."""

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
"""Combinations that must fail, from the vendor's documented rules (`docs/vendors.md`)."""


def check_conflicts(spec: Spec) -> None:
    """Raise `InvalidValue` for the first pair of fields that exclude each other."""
    for conflict in CONFLICTS:
        if conflict.applies(spec):
            raise errors.InvalidValue(conflict.message, param=conflict.param, code="invalid_value")


IDENTITY_EXCLUDED = frozenset({"safety_identifier", "user"})
"""Fields about the caller, which do not change the images."""

IDENTITY = tuple(spec_field.name for spec_field in fields(Spec) if spec_field.name not in IDENTITY_EXCLUDED)


def fingerprint(spec: Spec) -> str:
    """Return the SHA-256 of everything that decides the images, as 64 hex digits."""
    canonical = [(name, _canonical(getattr(spec, name))) for name in IDENTITY]
    return hashlib.sha256(repr(canonical).encode()).hexdigest()


def _canonical(value: object) -> object:
    """Convert a value to one whose `repr` depends on nothing but the value."""
    if value is None:  # most fields of most specs
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
