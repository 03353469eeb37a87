"""OpenAI's image models: abilities of each generation, and the tokens of their images.

Rule: gpt-image-2 and 2.5 are counted by the vendor's closed formula, older models by its table. The vendor does not
publish the count of a prompt's tokens (here a quarter of its length), of a reference's (here 1450, as once observed),
and 2.6's lower tiers (here three times those of 2.5, as reported). So a gateway that bills by a table instead of by
`usage` fails the tests.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from tests.simulators.images import parse_size

Grid = Mapping[str, int]

PARTIAL_TOKENS = 100
REFERENCE_TOKENS = 1450
OLD_REFERENCE_TOKENS = 65 + 129
OLD_FIDELITY_TOKENS = 4160


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Properties of one generation of models. `grid` is for the token formula. The oldest models have a table."""

    tiers: tuple[str, ...]
    grid: Grid | None
    sizes: tuple[str, ...] | None = None
    forms: tuple[str, ...] = ("png", "jpeg", "webp")
    fidelities: tuple[str, ...] = ()
    markup: bool = False
    complexity: bool = False
    surcharge: int = 1
    shutdown: str | None = None


OLD_SIZES = ("1024x1024", "1536x1024", "1024x1536", "auto")
TIERS = ("low", "medium", "high")
MORE_TIERS = (*TIERS, "xhigh", "max")
GRID_2: Grid = {"low": 16, "medium": 48, "high": 96}
GRID_2_5: Grid = {"low": 16, "medium": 24, "high": 48, "xhigh": 64, "max": 96}
OLD = Family(tiers=TIERS, grid=None, sizes=OLD_SIZES, fidelities=("high", "low"), shutdown="2026-12-01")
MINI = Family(tiers=TIERS, grid=None, sizes=OLD_SIZES, fidelities=("low",), shutdown="2026-12-01")
TWO = Family(tiers=TIERS, grid=GRID_2)
TWO_FIVE = Family(tiers=MORE_TIERS, grid=GRID_2_5, markup=True)
TWO_SIX = Family(
    tiers=MORE_TIERS,
    grid=GRID_2_5,
    forms=("png", "jpeg", "webp", "gif", "svg"),
    markup=True,
    complexity=True,
    surcharge=3,
)
MODELS: Mapping[str, Family] = {
    "gpt-image-2": TWO,
    "gpt-image-2-2026-04-21": TWO,
    "gpt-image-2.5-sunburst": TWO_FIVE,
    "gpt-image-2.5-sunburst-2026-09-08": TWO_FIVE,
    "gpt-image-2.5-flare": TWO_FIVE,
    "gpt-image-2.5-flare-2026-09-08": TWO_FIVE,
    "gpt-image-2.6-sunburst": TWO_SIX,
    "gpt-image-2.6-flare": TWO_SIX,
    "gpt-image-1.5": OLD,
    "gpt-image-1-mini": MINI,
    "chatgpt-image-latest": OLD,
}

OLD_TOKENS: Mapping[str, Mapping[str, int]] = {
    "1024x1024": {"low": 272, "medium": 1056, "high": 4160},
    "1024x1536": {"low": 408, "medium": 1584, "high": 6240},
    "1536x1024": {"low": 400, "medium": 1568, "high": 6208},
}


def image_tokens(family: Family, tier: str, size: str) -> int:
    """Return the output tokens of one image."""
    if family.grid is None:
        return OLD_TOKENS.get(size, OLD_TOKENS["1024x1024"])[tier]
    tokens = formula(family.grid[tier], *parse_size(size))
    return tokens * family.surcharge if tier in ("low", "medium") else tokens


def formula(grid: int, width: int, height: int) -> int:
    """Apply the closed formula of gpt-image-2."""
    longest, shortest = max(width, height), min(width, height)
    side = (2 * grid * shortest + longest) // (2 * longest)
    return math.ceil(grid * side * (2_000_000 + width * height) / 4_000_000)


def prompt_tokens(prompt: str) -> int:
    """Estimate the tokens of a prompt instead of the tokenizer."""
    return max(1, len(prompt) // 4)


def reference_tokens(family: Family, fidelity: str | None) -> int:
    """Return the input tokens of one reference image."""
    if family.grid is not None:
        return REFERENCE_TOKENS
    return OLD_REFERENCE_TOKENS + (OLD_FIDELITY_TOKENS if fidelity == "high" else 0)
