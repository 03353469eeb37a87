"""What a backend call came to: a purchase, or one of a closed set of failures (`domain/errors.py`).

Rule: a dialect turns every answer a vendor can give into one of these values; nothing above a dialect reads a vendor's
status or text. Vendor facts: `docs/vendors.md`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from service.domain.errors import Failure
from service.domain.image_spec import Size

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens as the vendor counted them, summed over all pictures of the call.

    `text_cached` and `image_cached` are the parts of `text_in` and `image_in` that the vendor had at hand already.
    `other_in` are input tokens of which the vendor does not say the kind.
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
        """Input tokens in all."""
        return self.text_in + self.image_in + self.other_in

    @property
    def tokens_out(self) -> int:
        """Output tokens in all."""
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
    """One finished picture: base64 text as the vendor sent it, in ASCII bytes that are passed on and not parsed."""

    base64: Buffer = field(repr=False)
    revised_prompt: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """What a backend delivered. What the vendor did not say is None.

    `partial_usage` is what could be read of a usage that is not whole; `unreadable_images` counts the vendor's pictures
    that hold nothing that can be read. Both matter for the money alone.
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
    """A preview on the way to a picture: what the vendor said of it, in its own words. `created` is in Unix seconds."""

    base64: Buffer = field(repr=False)
    index: int
    created: int | None = None
    size: str | None = None
    tier: str | None = None
    background: str | None = None
    output_format: str | None = None


CallOutcome = Generation | Failure
