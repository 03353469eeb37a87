"""What one order can cost at most, and what it did cost, in whole nano-USD.

Rule: a quote is never below what the vendor can bill for the order, so that what is held covers what will be posted;
what is left open (tier, size, frames) is quoted at the dearest that it can turn out to be. A cost is the vendor's own
count where it gave one; what it did not say is estimated, marked so, and never zero. Tokens are counted exactly;
fractions of a nano-dollar, which only areas have, are rounded up for each picture. A price without a tier to go by is
a `ValueError`; settings let none in.

The bound rests on what is known of the vendors (`docs/vendors.md`). Three things are not: how a gif is billed (here
each frame as a picture), which tokens the model takes that writes an svg (here the dearest tier stands for them, and
a purchase that had some is booked at no less than the quote), and what an `approximate` price turns out to be.
"""

from dataclasses import dataclass, replace

from service.domain.catalog import Model, Route, SizeAs, SizeRule
from service.domain.generation import Generation, Usage
from service.domain.image_spec import Size, Spec
from service.domain.ledger import Basis
from service.domain.pricing import TOKENS_PER_PARTIAL, Price, TokenRates, Tokens

TEXT_OVERHEAD = 64
"""Text tokens that a vendor may put around a prompt, and again around each picture that is sent along."""

BYTES_PER_TOKEN = 4
MAX_FRAMES = 16
MEGAPIXEL = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What an order cost, and what that rests on."""

    nano: int
    basis: Basis


def quote(spec: Spec, model: Model, route: Route, price: Price, previews: int = 0) -> int:
    """An upper bound of what an order can cost along a route. `previews` are previews per picture.

    It is linear in n, so the orders that one request is split into are quoted at what the request is.
    """
    spec = _as_vendor_draws(spec, route)
    rule = route.sizes or model.sizes
    if price.rates is None:
        return spec.n * _flat(spec, rule, price)
    image_tokens = _max_image_tokens(spec, model, rule, price.tokens) + previews * TOKENS_PER_PARTIAL
    text = _bytes(spec) + TEXT_OVERHEAD * (1 + _input_image_count(spec))
    return spec.n * _run(spec, price.rates, price.tokens, text=text, drawn=image_tokens)


def cost(spec: Spec, model: Model, route: Route, price: Price, generation: Generation, previews: int = 0) -> Charge:  # noqa: PLR0913, PLR0917 (all that a cost rests on)
    """What an order came to, in which so many previews were asked for.

    A size that the vendor left unsaid is best measured before this is asked.
    """
    counted = generation.usage or generation.partial_usage
    metered = _metered(_divided(counted, spec), price.rates) if price.rates and counted else 0
    if generation.usage and generation.usage.tokens_out and price.rates:
        if generation.svg_usage is None:
            return Charge(nano=metered, basis=Basis.USAGE)
        return Charge(nano=max(metered, quote(spec, model, route, price, previews)), basis=Basis.ESTIMATED)
    rule = route.sizes or model.sizes
    delivered = _delivered(_as_vendor_draws(spec, route), rule, generation, price)
    if price.rates is None:
        is_measured = price.per_image is not None or delivered.size is not None
        certain = is_measured and not price.approximate and not generation.unreadable_images
        return Charge(
            nano=delivered.n * _flat(delivered, rule, price), basis=Basis.TABLE if certain else Basis.ESTIMATED
        )
    text = -(-_bytes(spec) // BYTES_PER_TOKEN)
    tokens = _max_image_tokens(delivered, model, rule, price.tokens) + previews * TOKENS_PER_PARTIAL
    run = _run(delivered, price.rates, price.tokens, text=text, drawn=tokens)
    return Charge(nano=max(metered, delivered.n * run), basis=Basis.ESTIMATED)


def _as_vendor_draws(spec: Spec, route: Route) -> Spec:
    """The spec as the vendor takes it: told a mere ratio it draws what size it likes, and some have but one tier."""
    size = None if route.size_as is SizeAs.ASPECT_RATIO else spec.size
    tier = route.delivers or spec.tier
    return spec if (size, tier) == (spec.size, spec.tier) else replace(spec, size=size, tier=tier)


def _delivered(spec: Spec, rule: SizeRule, generation: Generation, price: Price) -> Spec:
    """What was drawn, as far as the vendor said and it can be, else as far as it was asked for.

    A picture that cannot be read was drawn all the same, if that many were asked for.
    """
    images, size = len(generation.images), generation.size
    return replace(
        spec,
        n=max(1, images, min(images + generation.unreadable_images, spec.n)),
        tier=generation.tier if generation.tier in price.tokens.tiers else spec.tier,
        size=size if size and _can_be(size, spec, rule) else spec.size,
    )


def _can_be(size: Size, spec: Spec, rule: SizeRule) -> bool:
    """Is a picture of this area possible there? The vendor may say anything."""
    asked = spec.size.pixels if spec.size else 0
    return rule.min_pixels <= size.pixels <= max(asked, _max_pixels(replace(spec, size=None), rule))


def _bytes(spec: Spec) -> int:
    """A prompt's length in UTF-8. No byte-level encoding makes more tokens than that."""
    return len(spec.prompt.encode("utf-8", "surrogatepass"))


def _input_image_count(spec: Spec) -> int:
    """How many pictures the caller sends along."""
    return len(spec.references) + sum(overlay is not None for overlay in (spec.mask, spec.markup))


def _run(spec: Spec, rates: TokenRates, tokens: Tokens, *, text: int, drawn: int) -> int:
    """One picture by token prices. What goes in goes in for every picture again; cached or not is not known yet."""
    return (
        text * max(rates.text_in, rates.text_cached)
        + _input_image_count(spec) * tokens.image_in_per_reference * max(rates.image_in, rates.image_cached)
        + drawn * rates.image_out
        + tokens.text_out_per_image * rates.text_out
    )


def _divided(usage: Usage, spec: Spec) -> Usage:
    """A count without kinds calls all input text. Where pictures went in, more than the prompt can be is not text."""
    most = spec.n * (_bytes(spec) + TEXT_OVERHEAD * (1 + _input_image_count(spec)))
    if not _input_image_count(spec) or usage.image_in or usage.text_in <= most:
        return usage
    return replace(usage, text_in=most, other_in=usage.other_in + usage.text_in - most)


def _metered(usage: Usage, rates: TokenRates) -> int:
    """The vendor's count at its prices. Input of a kind that was not said may be of the dearer one."""
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
    """The most output tokens that one picture can take, previews aside."""
    return max(_max_tier_tokens(tier, spec, rule, tokens) for tier in _tiers(spec, model, tokens))


def _tiers(spec: Spec, model: Model, tokens: Tokens) -> frozenset[str]:
    """The tiers that may be drawn: the one that was asked for, else any of the model's."""
    if spec.tier is not None and spec.tier in tokens.tiers and spec.output_format != "svg":
        return frozenset({spec.tier})
    return tokens.tiers & frozenset(model.tiers) or tokens.tiers


def _max_tier_tokens(tier: str, spec: Spec, rule: SizeRule, tokens: Tokens) -> int:
    """The same for one tier.

    A gif counts frame by frame, each as though it were square. That also covers a vendor that bills one sheet with all
    frames on it: k * (2,000,000 + area) is more than 2,000,000 + k * area, and no sheet takes more than a square one.
    """
    sizes = (spec.size,) if spec.size else rule.choices
    if spec.output_format == "gif":
        return (spec.frame_count or MAX_FRAMES) * tokens.max_output_tokens(tier, _max_pixels(spec, rule))
    if not sizes:
        return tokens.max_output_tokens(tier, _max_pixels(spec, rule))
    return max(tokens.output_tokens(tier, size) or tokens.max_output_tokens(tier, size.pixels) for size in sizes)


def _flat(spec: Spec, rule: SizeRule, price: Price) -> int:
    """One picture by a price for pictures or for their area."""
    if price.per_megapixel is None:
        return price.per_image or 0
    usual = price.default_steps or spec.steps or 1
    steps = max(spec.steps or 0, usual)
    return -(-_max_pixels(spec, rule) * price.per_megapixel * steps // (MEGAPIXEL * usual))


def _max_pixels(spec: Spec, rule: SizeRule) -> int:
    """The largest area that may be drawn."""
    if spec.size:
        return spec.size.pixels
    if rule.choices:
        return max(choice.pixels for choice in rule.choices)
    return min(rule.max_pixels, rule.max_edge**2)
