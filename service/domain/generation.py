"""The outcome of a backend call: a generation, or a failure of a closed set (`domain/errors.py`).

Rule: a dialect maps every reply of a vendor to one of these values. No layer above a dialect reads a vendor's status or
text. Vendor facts: `docs/vendors.md`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from service.domain.errors import Failure
from service.domain.image_spec import Size

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens as the vendor counted them, summed over all images of the call.

    Field names are written to Redis; older replicas read them.

    Attributes:
        text_cached: The part of `text_in` that came from the vendor's cache.
        image_cached: The part of `image_in` that came from the vendor's cache.
        other_in: Input tokens of an unknown kind.
    """

    text_in: int = 0
    image_in: int = 0
    image_out: int = 0
    text_out: int = 0
    text_cached: int = 0
    image_cached: int = 0
    other_in: int = 0

    @property
    def tokens_in(self) -> int:
        """All input tokens."""
        return self.text_in + self.image_in + self.other_in

    @property
    def tokens_out(self) -> int:
        """All output tokens."""
        return self.image_out + self.text_out

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            text_in=self.text_in + other.text_in,
            image_in=self.image_in + other.image_in,
            image_out=self.image_out + other.image_out,
            text_out=self.text_out + other.text_out,
            text_cached=self.text_cached + other.text_cached,
            image_cached=self.image_cached + other.image_cached,
            other_in=self.other_in + other.other_in,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedImage:
    """One finished image: the vendor's base64 text as ASCII bytes, which are passed on and not parsed."""

    base64: Buffer = field(repr=False)
    revised_prompt: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """The images of one call. A value that the vendor left out is None.

    Attributes:
        partial_usage: The readable part of an incomplete usage. It counts for the cost alone.
        unreadable_images: Number of images that cannot be read. They count for the cost alone.
    """

    images: tuple[GeneratedImage, ...]
    created: int | None = None
    size: Size | None = None
    tier: str | None = None
    background: str | None = None
    output_format: str | None = None
    usage: Usage | None = None
    svg_usage: Mapping[str, object] | None = None
    partial_usage: Usage | None = None
    unreadable_images: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """A preview of an image, described in the vendor's own words. `created` is in Unix seconds."""

    base64: Buffer = field(repr=False)
    index: int
    created: int | None = None
    size: str | None = None
    tier: str | None = None
    background: str | None = None
    output_format: str | None = None


CallOutcome = Generation | Failure
