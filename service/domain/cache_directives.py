"""Cache directives of a request: whether it may share earlier results, by its headers and by the operator's settings.

Rule: by default an identical request of a team gets a cached result, for a limited time. A caller may ask for its own
purchase (`no-store`), a newer one (`no-cache`, `max-age`), or another sample (`x-gateway-variant`). With
`only-if-cached` the gateway buys nothing. Identical requests under way share one purchase, or each gets its own sample
(`wants_variation`). A retry, by its `Idempotency-Key` or by the retry count of an SDK, is no second purchase. Pure.

Fails with: `InvalidValue`, which names the header.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from service.domain.errors import InvalidValue
from service.domain.team_access import InFlightPolicy, Key

CACHE_CONTROL, VARIANT, IDEMPOTENCY_KEY = "cache-control", "x-gateway-variant", "idempotency-key"
RETRY_COUNT = "x-stainless-retry-count"  # both vendors' SDKs send it: 0, then 1, 2 with the identical body
MAX_VARIANT = 1_000_000
AUTO = "auto"  # as `x-gateway-variant`: the store assigns the number
MAX_SAMPLES = 10  # numbers from 0 that are assigned before the first is assigned again
MAX_AGE = 365 * 24 * 3600
MAX_RETRIES = 1000
MAX_KEY_LENGTH = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheDirectives:
    """Cache directives of one request.

    Attributes:
        allow_cached: The request may share results at all.
        has_relayed_links: A vendor fetches the caller's links. Their content may change, so no result is shared.
        max_age: Maximum age of a result in seconds.
        only_if_cached: The gateway must not call a backend.
        variant: Number that separates samples of one prompt.
        is_varied: The store assigns the variant; None: the request says neither.
        idempotency_key: The caller's name for this intention.
        retry_count: Number of earlier tries by the caller's SDK; None if the client counts none and so never retries.
    """

    allow_cached: bool = True
    has_relayed_links: bool = False
    max_age: int | None = None
    only_if_cached: bool = False
    variant: int = 0
    is_varied: bool | None = None
    idempotency_key: str | None = field(default=None, repr=False)
    retry_count: int | None = None

    @property
    def is_retry(self) -> bool:
        """Whether this request was sent before."""
        return bool(self.retry_count)


def parse_cache_directives(headers: Mapping[str, str]) -> CacheDirectives:
    """Parse the directives of a request's headers, whose names are in lower case.

    Unknown directives are ignored, as HTTP demands.
    """
    allow_cached, only_if_cached, max_age = True, False, None
    for part in headers.get(CACHE_CONTROL, "").lower().split(","):
        name, _, value = (piece.strip() for piece in part.partition("="))
        if name == "no-store":
            allow_cached = False
        elif name == "no-cache":
            max_age = 0
        elif name == "only-if-cached":
            only_if_cached = True
        elif name == "max-age":
            max_age = _parse_whole_number(CACHE_CONTROL, "max-age", value.strip('"'), MAX_AGE)
    if only_if_cached and not allow_cached:
        raise InvalidValue("no-store and only-if-cached exclude each other.", param=CACHE_CONTROL)
    auto = headers.get(VARIANT, "").strip().lower() == AUTO
    return CacheDirectives(
        allow_cached=allow_cached,
        max_age=max_age,
        only_if_cached=only_if_cached,
        variant=0 if auto else _parse_number_header(headers, VARIANT, MAX_VARIANT) or 0,
        is_varied=True if auto else False if VARIANT in headers else None,
        idempotency_key=_parse_idempotency_key(headers.get(IDEMPOTENCY_KEY)),
        retry_count=_parse_number_header(headers, RETRY_COUNT, MAX_RETRIES),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class InFlightRules:
    """Policy for identical requests under way: `default`, and VARY for clients that match one of `user_agents`."""

    default: InFlightPolicy = InFlightPolicy.JOIN
    user_agents: tuple[str, ...] = ()


def wants_variation(directives: CacheDirectives, key: Key, user_agent: str, rules: InFlightRules) -> bool:
    """Tell whether an identical request under way makes this request another sample.

    The first setting decides: of the request, its key, the key's team, the list of clients, and the gateway.
    """
    if directives.is_varied is not None:
        return directives.is_varied
    policy = key.in_flight or key.team.in_flight
    if policy is None and any(_user_agent_pattern(pattern).search(user_agent) for pattern in rules.user_agents):
        return True
    return (policy or rules.default) is InFlightPolicy.VARY


@cache  # of patterns in the settings only
def _user_agent_pattern(text: str) -> re.Pattern[str]:
    """Compile a pattern for a User-Agent that contains a text, in any case; `*` matches anything."""
    return re.compile(".*".join(map(re.escape, text.split("*"))), re.IGNORECASE)


def _parse_idempotency_key(text: str | None) -> str | None:
    """Return the key, without the quotes that the IETF's draft allows around it."""
    if text is None:
        return None
    key = text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
    if not 0 < len(key) <= MAX_KEY_LENGTH or not key.isascii() or not key.isprintable():
        message = f"Idempotency-Key is 1 to {MAX_KEY_LENGTH} printable ASCII characters."
        raise InvalidValue(message, param=IDEMPOTENCY_KEY)
    return key


def _parse_number_header(headers: Mapping[str, str], name: str, maximum: int) -> int | None:
    text = headers.get(name)
    return None if text is None else _parse_whole_number(name, name, text.strip(), maximum)


def _parse_whole_number(header: str, name: str, text: str, maximum: int) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > len(str(maximum)) or int(text) > maximum:
        raise InvalidValue(f"{name} is a whole number from 0 to {maximum}; got '{text[:20]}'.", param=header)
    return int(text)
