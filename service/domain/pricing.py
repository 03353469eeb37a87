"""Prices and the vendor's token arithmetic, in whole nano-USD.

Rule: money is an `int` of nano-USD and never a float. Token counts come from the vendor's reply where it has them. The
formula below serves quotes, estimates and the sandbox. A price is data with a source, the day it was read, and an
effective date. `quotes.py` has the cost of a request. Pure.

Fails with: `ValueError` for a tier that a price lacks, because it has no bound. Settings refuse such a price.
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
    """Token counts: of an image by tier, from a grid for the closed formula or from a table by size.

    Attributes:
        image_in_per_reference: Maximum tokens of an input image, where the vendor charges for them.
        text_out_per_image: Maximum tokens of text beside a generated image, where the vendor charges for them.
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
        """Return the output tokens of one image, or None if this tier and size are unknown."""
        if tier in self.grid:
            return grid_tokens(self.grid[tier], size)
        return self.table.get(tier, {}).get(size)

    def max_output_tokens(self, tier: str, pixels: int) -> int:
        """Return the maximum output tokens of an image of this tier with at most `pixels`.

        A table has one maximum for all sizes.
        """
        if tier in self.grid:
            return grid_bound(self.grid[tier], pixels)
        return max(self.table.get(tier, {}).values())


def grid_tokens(grid: int, size: Size) -> int:
    """Return output tokens by the vendor's own calculator (contract of gpt-image-2 and 2.5; `docs/vendors.md`).

    The grid covers the long edge. The short edge gets its share, rounded half up, and the area adds a factor.
    """
    long, short = max(size.width, size.height), min(size.width, size.height)
    short_cells = (2 * grid * short + long) // (2 * long)
    return -(-grid * short_cells * (2_000_000 + size.pixels) // 4_000_000)


def grid_bound(grid: int, pixels: int) -> int:
    """Return the maximum output tokens of an image with at most `pixels`, whatever its shape.

    The short edge is no longer than the long one. So its share, `floor(grid * short / long + 1/2)`, is at most the grid
    itself. The rest of the formula only grows with the area. A square reaches the bound.
    """
    return -(-grid * grid * (2_000_000 + pixels) // 4_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """The price of a route from a day on. Exactly one of `rates`, `per_image` and `per_megapixel` is its basis.

    Attributes:
        per_image: Nano-USD.
        per_megapixel: Nano-USD.
        default_steps: Steps beyond which the megapixel price grows with the steps.
        approximate: The price is the vendor's example. The real charge may differ, and the vendor does not report it.
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
    """Return the price of a day: the latest one that has taken effect."""
    effective_prices = [price for price in prices if price.effective <= day]
    return max(effective_prices, key=lambda price: price.effective, default=None)
