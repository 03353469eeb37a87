"""A vendor's token counts, in any of its spellings.

Rule: a count is complete if it has input and output. The readable part of any other count is the minimum, and the
ledger takes the maximum of it and the estimate. Tokens of no kind are counted apart, at the higher price. An
impossible number (negative, absurd, not a number) makes a count doubtful; it never costs the image.

Fails with: an empty count for any other value than an object.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from service.adapters.backends.lenient_json import to_whole_number
from service.domain.generation import Usage

MAX_TOKENS = 1_000_000_000
"""Of one kind in one reply. A larger number is a mistake, and its cost would not fit into the ledger."""

JsonObject = Mapping[str, object]

INPUT = ("input_tokens", "prompt_tokens"), ("input_tokens_details", "prompt_tokens_details")
OUTPUT = ("output_tokens", "completion_tokens"), ("output_tokens_details", "completion_tokens_details")
"""A total and its kinds, each by its name in the images API and by its name in the chat API."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCount:
    """A vendor's count: `usage` if it is complete, else `minimum`, its readable part."""

    usage: Usage | None = None
    minimum: Usage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Direction:
    """Tokens of one direction by kind.

    Attributes:
        is_present: The count has a total or a kind.
        details: The object with the kinds.
        other: Tokens of no kind.
    """

    is_present: bool
    details: JsonObject
    text: int = 0
    image: int = 0
    other: int = 0

    @property
    def tokens(self) -> int:
        return self.text + self.image + self.other


@dataclass(slots=True)
class _Reader:
    """Reads a `usage` object. `doubtful`: something in it was nonsense."""

    usage_object: JsonObject
    doubtful: bool = False

    def number(self, members: JsonObject, *names: str) -> int | None:
        """Return the first of these members that is a number."""
        for name in names:
            value = members.get(name)
            number = None if value is None else to_whole_number(value, MAX_TOKENS)
            if number is not None:
                return number
            self.doubtful |= value is not None
        return None

    def part(self, *names: str) -> JsonObject:
        """Return the first of these members that is an object; an empty one if none is."""
        for name in names:
            value = self.usage_object.get(name)
            if isinstance(value, dict):
                return value
            self.doubtful |= value is not None
        return {}

    def direction(self, totals: tuple[str, ...], kinds: tuple[str, ...]) -> _Direction:
        """Read one direction."""
        total, details = self.number(self.usage_object, *totals), self.part(*kinds)
        text, image = self.number(details, "text_tokens"), self.number(details, "image_tokens")
        sum_of_kinds = (text or 0) + (image or 0)
        if total is not None and sum_of_kinds > total:
            self.doubtful = True
        return _Direction(
            is_present=(total, text, image) != (None, None, None),
            details=details,
            text=text or 0,
            image=image or 0,
            other=max((total or 0) - sum_of_kinds, 0),
        )

    def cached(self, input_: _Direction, text_in: int) -> tuple[int, int]:
        """Return cached tokens of text and images.

        A bare total is text first: that saves less, so the cost is never too low.
        """
        total, details = self.number(self.usage_object, "cached_tokens"), self.part("cached_tokens_details")
        if details:
            text, image = self.number(details, "cached_text_tokens"), self.number(details, "cached_image_tokens")
            return text or 0, image or 0
        total = total or self.number(input_.details, "cached_tokens") or 0
        return min(total, text_in), total - min(total, text_in)


def read_count(usage_object: object) -> TokenCount:
    """Read a `usage` object. Any other value is no count."""
    if not isinstance(usage_object, dict):
        return TokenCount()
    reader = _Reader(usage_object)
    input_, output = _fill_missing(reader, reader.direction(*INPUT), reader.direction(*OUTPUT))
    text_in = input_.text if input_.details else input_.tokens
    text_cached, image_cached = reader.cached(input_, text_in)
    is_complete = input_.is_present and output.is_present and not reader.doubtful
    # An incomplete count is a minimum, so it has no cached tokens, which would lower its cost.
    usage = Usage(
        text_in=text_in,
        image_in=input_.image,
        other_in=input_.other if input_.details else 0,
        text_out=output.text,
        image_out=output.image + output.other,
        text_cached=text_cached if is_complete else 0,
        image_cached=image_cached if is_complete else 0,
    )
    return TokenCount(usage=usage) if is_complete else TokenCount(minimum=usage)


def _fill_missing(reader: _Reader, input_: _Direction, output: _Direction) -> tuple[_Direction, _Direction]:
    """Complete both directions by the total of both. A remainder counts as image output, the highest price."""
    total = reader.number(reader.usage_object, "total_tokens")
    remainder = (total or 0) - input_.tokens - output.tokens
    if total is None or remainder < 0 or (remainder == 0 and input_.is_present and output.is_present):
        return input_, output
    if output.is_present and not input_.is_present:
        return replace(input_, other=remainder, is_present=True), output
    reader.doubtful |= not input_.is_present or output.is_present
    return input_, replace(output, other=output.other + remainder, is_present=True)
