"""On which terms a request may share what was bought for another: from its headers and from what the operator allows.

Rule: by default an identical request of the same team gets what was bought before, for a while; a caller may ask for a
purchase of its own (`no-store`), a newer one (`no-cache`, `max-age`), another sample (`x-gateway-variant`), or nothing
that costs (`only-if-cached`). What cannot be understood is an `InvalidValue` that names the header.
"""

from dataclasses import dataclass

from service.domain.errors import InvalidValue

CACHE_CONTROL, VARIANT = "cache-control", "x-gateway-variant"
MOST_VARIANT = 1_000_000
MOST_AGE = 365 * 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """`share`: take part at all; `max_age`: how old a result may be, in seconds (None: any age); `only`: do not buy.

    `variant` tells samples of the same prompt apart.
    """

    share: bool = True
    max_age: int | None = None
    only: bool = False
    variant: int = 0


def read_terms(cache_control: str | None, variant: str | None) -> Terms:
    """The terms of a request's headers. Directives that are not about this are left alone, as HTTP has it."""
    share, only, max_age = True, False, None
    for part in (cache_control or "").lower().split(","):
        name, _, value = (piece.strip() for piece in part.partition("="))
        if name == "no-store":
            share = False
        elif name == "no-cache":
            max_age = 0
        elif name == "only-if-cached":
            only = True
        elif name == "max-age":
            max_age = _whole(CACHE_CONTROL, "max-age", value.strip('"'), MOST_AGE)
    if only and not share:
        raise InvalidValue("no-store and only-if-cached exclude each other.", param=CACHE_CONTROL)
    number = 0 if variant is None else _whole(VARIANT, VARIANT, variant.strip(), MOST_VARIANT)
    return Terms(share=share, max_age=max_age, only=only, variant=number)


def _whole(header: str, name: str, text: str, most: int) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > len(str(most)) or int(text) > most:
        raise InvalidValue(f"{name} is a whole number from 0 to {most}; got '{text[:20]}'.", param=header)
    return int(text)
