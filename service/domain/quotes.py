"""The maximum price of a call, and its real cost, in whole nano-USD.

Rule: a quote is never below what the vendor can bill, so that the hold covers the cost. An open value (tier, size,
frames) is quoted at its maximum. A cost is the vendor's own count where there is one. A missing count is estimated,
marked so, and never zero. Tokens are counted exactly. Fractions of a nano-dollar, which only areas have, are rounded up
for each image.

The bound rests on vendor facts (`docs/vendors.md`). Three facts are unknown. First, the billing of a gif: each frame
counts as an image here. Second, the tokens of the model that writes an svg: the dearest tier stands for them, and such
a generation costs at least the quote. Third, the real amount of an `approximate` price.

Fails with: `ValueError` for a price without a tier to go by; settings refuse such a price.
"""

from dataclasses import dataclass, replace

from service.domain.catalog import Model, Route, SizeAs, SizeRule
from service.domain.generation import Generation, Usage
from service.domain.image_spec import Size, Spec
from service.domain.ledger import Basis
from service.domain.pricing import TOKENS_PER_PARTIAL, Price, TokenRates, Tokens

TEXT_OVERHEAD = 64
"""Text tokens that a vendor may add to a prompt, and again to each input image."""

BYTES_PER_TOKEN = 4
MAX_FRAMES = 16
MEGAPIXEL = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """The cost of a call in nano-USD, and its basis."""

    nano: int
    basis: Basis


def quote(spec: Spec, model: Model, route: Route, price: Price, previews: int = 0) -> int:
    """Return an upper bound of the cost of a call along a route. `previews` counts previews for each image.

    The bound is linear in n, so the calls of a split request have the quote of the whole request.
    """
    spec = _as_vendor_reads(spec, route)
    rule = route.sizes or model.sizes
    if price.rates is None:
        return spec.n * _flat(spec, rule, price)
    image_tokens = _max_image_tokens(spec, model, rule, price.tokens) + previews * TOKENS_PER_PARTIAL
    text = _bytes(spec) + TEXT_OVERHEAD * (1 + _input_image_count(spec))
    return spec.n * _run(spec, price.rates, price.tokens, text=text, image_tokens=image_tokens)


def cost(spec: Spec, model: Model, route: Route, price: Price, generation: Generation, previews: int = 0) -> Charge:  # noqa: PLR0913, PLR0917 (the bases of a cost)
    """Return the cost of a call with this number of previews.

    Measure a size that the vendor left out before this call.
    """
    counted = generation.usage or generation.partial_usage
    metered = _metered(_divided(counted, spec), price.rates) if price.rates and counted else 0
    if generation.usage and generation.usage.tokens_out and price.rates:
        if generation.svg_usage is None:
            return Charge(nano=metered, basis=Basis.USAGE)
        return Charge(nano=max(metered, quote(spec, model, route, price, previews)), basis=Basis.ESTIMATED)
    rule = route.sizes or model.sizes
    delivered = _delivered(_as_vendor_reads(spec, route), rule, generation, price)
    if price.rates is None:
        is_measured = price.per_image is not None or delivered.size is not None
        certain = is_measured and not price.approximate and not generation.unreadable_images
        return Charge(
            nano=delivered.n * _flat(delivered, rule, price), basis=Basis.TABLE if certain else Basis.ESTIMATED
        )
    text = -(-_bytes(spec) // BYTES_PER_TOKEN)
    tokens = _max_image_tokens(delivered, model, rule, price.tokens) + previews * TOKENS_PER_PARTIAL
    run = _run(delivered, price.rates, price.tokens, text=text, image_tokens=tokens)
    return Charge(nano=max(metered, delivered.n * run), basis=Basis.ESTIMATED)


def _as_vendor_reads(spec: Spec, route: Route) -> Spec:
    """Build the spec as the vendor reads it: with a ratio it picks a size, and some routes have one tier only."""
    size = None if route.size_as is SizeAs.ASPECT_RATIO else spec.size
    tier = route.delivers or spec.tier
    return spec if (size, tier) == (spec.size, spec.tier) else replace(spec, size=size, tier=tier)


def _delivered(spec: Spec, rule: SizeRule, generation: Generation, price: Price) -> Spec:
    """Build the spec of the delivered images: the vendor's values where they are possible, else the requested ones.

    An unreadable image counts as generated, up to the requested number.
    """
    images, size = len(generation.images), generation.size
    return replace(
        spec,
        n=max(1, images, min(images + generation.unreadable_images, spec.n)),
        tier=generation.tier if generation.tier in price.tokens.tiers else spec.tier,
        size=size if size and _can_be(size, spec, rule) else spec.size,
    )


def _can_be(size: Size, spec: Spec, rule: SizeRule) -> bool:
    """Tell whether an image of this area is possible there. A vendor may report any size."""
    requested = spec.size.pixels if spec.size else 0
    return rule.min_pixels <= size.pixels <= max(requested, _max_pixels(replace(spec, size=None), rule))


def _bytes(spec: Spec) -> int:
    """Return the length of the prompt in UTF-8. No byte-level encoding makes more tokens than that."""
    return len(spec.prompt.encode("utf-8", "surrogatepass"))


def _input_image_count(spec: Spec) -> int:
    """Return the number of input images."""
    return len(spec.references) + sum(overlay is not None for overlay in (spec.mask, spec.markup))


def _run(spec: Spec, rates: TokenRates, tokens: Tokens, *, text: int, image_tokens: int) -> int:
    """Return the price of one image in tokens. The input counts again for every image, at the higher of both rates."""
    return (
        text * max(rates.text_in, rates.text_cached)
        + _input_image_count(spec) * tokens.image_in_per_reference * max(rates.image_in, rates.image_cached)
        + image_tokens * rates.image_out
        + tokens.text_out_per_image * rates.text_out
    )


def _divided(usage: Usage, spec: Spec) -> Usage:
    """Move excess input text to `other_in`. Some vendors count all input as text, also the tokens of input images."""
    max_text = spec.n * (_bytes(spec) + TEXT_OVERHEAD * (1 + _input_image_count(spec)))
    if not _input_image_count(spec) or usage.image_in or usage.text_in <= max_text:
        return usage
    return replace(usage, text_in=max_text, other_in=usage.other_in + usage.text_in - max_text)


def _metered(usage: Usage, rates: TokenRates) -> int:
    """Return the price of the vendor's count. Input of an unknown kind has the higher rate."""
    text_cached = min(usage.text_cached, usage.text_in)
    image_cached = min(usage.image_cached, usage.image_in)
    return (
        (usage.text_in - text_cached) * rates.text_in
        + usage.other_in * max(rates.text_in, rates.image_in)
        + text_cached * rates.text_cached
        + (usage.image_in - image_cached) * rates.image_in
        + image_cached * rates.image_cached
        + usage.image_out * rates.image_out
        + usage.text_out * rates.text_out
    )


def _max_image_tokens(spec: Spec, model: Model, rule: SizeRule, tokens: Tokens) -> int:
    """Return the maximum number of output tokens of one image, without previews."""
    return max(_max_tier_tokens(tier, spec, rule, tokens) for tier in _tiers(spec, model, tokens))


def _tiers(spec: Spec, model: Model, tokens: Tokens) -> frozenset[str]:
    """Return the tiers that the vendor may generate: the requested one, else any of the model's."""
    if spec.tier is not None and spec.tier in tokens.tiers and spec.output_format != "svg":
        return frozenset({spec.tier})
    return tokens.tiers & frozenset(model.tiers) or tokens.tiers


def _max_tier_tokens(tier: str, spec: Spec, rule: SizeRule, tokens: Tokens) -> int:
    """Return the maximum number of output tokens of one image of a tier.

    A gif counts frame by frame, each as though it were square. That also covers a vendor that bills one sheet with all
    frames: k * (2,000,000 + area) is more than 2,000,000 + k * area, and no sheet takes more than a square one.
    """
    sizes = (spec.size,) if spec.size else rule.choices
    if spec.output_format == "gif":
        return (spec.frame_count or MAX_FRAMES) * tokens.max_output_tokens(tier, _max_pixels(spec, rule))
    if not sizes:
        return tokens.max_output_tokens(tier, _max_pixels(spec, rule))
    return max(tokens.output_tokens(tier, size) or tokens.max_output_tokens(tier, size.pixels) for size in sizes)


def _flat(spec: Spec, rule: SizeRule, price: Price) -> int:
    """Return the price of one image that is priced by image or by area."""
    if price.per_megapixel is None:
        return price.per_image or 0
    usual = price.default_steps or spec.steps or 1
    steps = max(spec.steps or 0, usual)
    return -(-_max_pixels(spec, rule) * price.per_megapixel * steps // (MEGAPIXEL * usual))


def _max_pixels(spec: Spec, rule: SizeRule) -> int:
    """Return the largest area that the vendor may generate."""
    if spec.size:
        return spec.size.pixels
    if rule.choices:
        return max(choice.pixels for choice in rule.choices)
    return min(rule.max_pixels, rule.max_edge**2)
