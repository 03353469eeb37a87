"""Prices and the vendor's token arithmetic, in whole nano-USD.

Rule: money is an `int` of nano-USD and never a float. Token counts come from the vendor's reply where there is one; the
formula below is for quotes, for estimates and for the sandbox. Prices are data with a source, the day it was read and
an effective date. What a request costs by them is in `quotes.py`. A tier that a price does not know has no bound, and
asking for one is a `ValueError`: settings refuse such a price before anything is sold by it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

from service.domain.image_spec import Size

NANO = 1_000_000_000
TOKENS_PER_PARTIAL = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRates:
    """Nano-USD per token."""

    text_in: int
    image_in: int
    image_out: int
    text_cached: int = 0
    image_cached: int = 0
    text_out: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """How many tokens things take. A picture: by tier a grid for the closed formula, or a table by size.

    `image_in_per_reference` is the most that a picture that is sent along takes, `text_out_per_image` the most that
    the vendor writes beside a drawn one; a price has them where the vendor charges for such tokens.
    """

    grid: Mapping[str, int] = field(default_factory=dict)
    table: Mapping[str, Mapping[Size, int]] = field(default_factory=dict)
    image_in_per_reference: int = 0
    text_out_per_image: int = 0

    @property
    def tiers(self) -> frozenset[str]:
        """Every tier that has a grid or a table."""
        return frozenset(self.grid) | frozenset(self.table)

    def output_tokens(self, tier: str, size: Size) -> int | None:
        """Output tokens of one picture, or None where nothing is known about this tier and size."""
        if tier in self.grid:
            return grid_tokens(self.grid[tier], size)
        return self.table.get(tier, {}).get(size)

    def max_output_tokens(self, tier: str, pixels: int) -> int:
        """No picture of this tier and of at most so many pixels takes more; a table says the most that it has."""
        if tier in self.grid:
            return grid_bound(self.grid[tier], pixels)
        return max(self.table.get(tier, {}).values())


def grid_tokens(grid: int, size: Size) -> int:
    """Output tokens by the vendor's own calculator (contract of gpt-image-2 and 2.5; `docs/vendors.md`).

    The grid is laid over the long edge, the short edge gets its share rounded half up, and the area adds a factor.
    """
    long, short = max(size.width, size.height), min(size.width, size.height)
    short_cells = (2 * grid * short + long) // (2 * long)
    return -(-grid * short_cells * (2_000_000 + size.pixels) // 4_000_000)


def grid_bound(grid: int, pixels: int) -> int:
    """The most output tokens of any picture of at most so many pixels, whatever its shape.

    The short edge is no longer than the long one, so its share of the grid, `floor(grid * short / long + 1/2)`, is at
    most the grid itself; what is left of the formula only grows with the area. A square reaches the bound.
    """
    return -(-grid * grid * (2_000_000 + pixels) // 4_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a route costs from a day on. Exactly one of `rates`, `per_image` and `per_megapixel` is the basis.

    `per_image` and `per_megapixel` are nano-USD; beyond `default_steps` the megapixel price grows with the steps. An
    `approximate` price is the vendor's example: what it really charges may differ, and it does not say.
    """

    version: str
    effective: date
    source: str
    read_on: date
    rates: TokenRates | None = None
    tokens: Tokens = field(default_factory=Tokens)
    per_image: int | None = None
    per_megapixel: int | None = None
    default_steps: int | None = None
    approximate: bool = False


def current_price(prices: Iterable[Price], day: date) -> Price | None:
    """The version that counts on a day: the latest one that has taken effect."""
    effective_prices = [price for price in prices if price.effective <= day]
    return max(effective_prices, key=lambda price: price.effective, default=None)
