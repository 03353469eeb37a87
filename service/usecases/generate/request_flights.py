"""The flights of a request: one for its Idempotency-Key, one for its purchase, and the series of its samples.

Rule: the flights follow from the request and the settings alone. Identical requests share a purchase while results are
cached. A request that shares with none buys alone, but the retry of an SDK gets the result of its first try. Pure.
"""

from dataclasses import dataclass, replace

from service.usecases.generate.flight_names import (
    SHARED_SCOPE,
    CacheKey,
    cache_key,
    idempotency_name,
    name_for_key,
    request_digest,
    sample_keys,
    series_name,
)
from service.usecases.generate.single_flight import FailureMemory, Flight
from service.usecases.ports.flights import JoinRules, SampleSeries
from service.usecases.ports.requests import ImageRequest

MOMENT_SECONDS = 1.0  # for which a finished flight serves every identical request, so that waiting ones see it
RETRY_SECONDS = 600.0  # for which it serves the retry of an SDK


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyPolicy:
    """Seconds that an Idempotency-Key is remembered, and whether a request waits while its key is in use.

    A failure that may have been billed is remembered for `failure_seconds` (0: not at all) for identical requests.
    """

    seconds: float
    waits: bool
    failure_seconds: int = 0


def idempotency_flight(request: ImageRequest, policy: IdempotencyPolicy) -> Flight:
    """Build the flight of a request's Idempotency-Key; without a key, one that no other request can look for."""
    if request.terms.idempotency_key is None:
        return Flight()
    return Flight(
        key=CacheKey(request.caller.key.team.name, idempotency_name(request.terms.idempotency_key)),
        digest=request_digest(request),
        join_rules=JoinRules(is_retry=True),
        shared_seconds=policy.seconds,
        retry_seconds=policy.seconds,
        keep_seconds=policy.seconds,
        by_idempotency_key=True,
        waits_for_leader=policy.waits,
    )


def shared_flight(request: ImageRequest, key: CacheKey, policy: IdempotencyPolicy, keep_seconds: float) -> Flight:
    """Build the flight for all identical requests."""
    terms = request.terms
    failures = _failure_memory(request, key, policy, recalls=False)  # the store recalls it together with the flight
    recalled = failures.remember[0] if failures.remember and _recalls_failures(request, policy) else ""
    return Flight(
        key=key,
        join_rules=JoinRules(
            is_retry=terms.is_retry, only_in_flight=terms.idempotency_key is not None, failure_name=recalled
        ),
        shared_seconds=MOMENT_SECONDS,
        retry_seconds=RETRY_SECONDS,
        keep_seconds=keep_seconds,
        is_cached=True,
        is_local=True,
        repeats_expired=not terms.is_retry,
        failures=failures,
    )


def own_flight(request: ImageRequest, key: CacheKey, policy: IdempotencyPolicy) -> Flight:
    """Build the flight of a request that shares with none. Only a retry of the same SDK finds it."""
    terms = request.terms
    failures = _failure_memory(request, key, policy, recalls=_recalls_failures(request, policy))
    if terms.retry_count is None or terms.idempotency_key:  # no retry will come, or its key finds the flight of the key
        return Flight(failures=failures)
    return Flight(
        retry_key=CacheKey(request.caller.key.team.name, name_for_key(request.caller.key, key.name)),
        join_rules=JoinRules(is_retry=terms.is_retry),
        shared_seconds=RETRY_SECONDS,
        retry_seconds=RETRY_SECONDS,
        keep_seconds=RETRY_SECONDS,
        failures=failures,
    )


def sample_series(
    request: ImageRequest, policy: IdempotencyPolicy, *, shared: bool, seconds: float
) -> tuple[str, SampleSeries]:
    """Build scope and series of a request whose sample the store assigns."""
    keys = sample_keys(request, shared=shared)
    first = keys[0]
    return first.scope, SampleSeries(
        name=name_for_key(request.caller.key, first.name),
        flights=tuple(key.name for key in keys),
        failure_name=name_for_key(request.caller.key, series_name(first.name))
        if _recalls_failures(request, policy)
        else "",
        ttl_seconds=seconds,
    )


def _failure_memory(request: ImageRequest, key: CacheKey, policy: IdempotencyPolicy, *, recalls: bool) -> FailureMemory:
    """Build the memory of a request's failures: for its sample, and for the next sample of its series."""
    if policy.failure_seconds == 0:
        return FailureMemory()
    api_key, terms = request.caller.key, request.terms
    name = name_for_key(api_key, key.name)
    remember: tuple[str, ...] = (name,)
    if terms.is_varied:
        first = replace(request, terms=replace(terms, variant=0))
        plain = cache_key(first, shared=key.scope == SHARED_SCOPE)
        remember = (name, name_for_key(api_key, series_name(plain.name)))
    return FailureMemory(
        scope=key.scope, recall=name if recalls else "", remember=remember, seconds=policy.failure_seconds
    )


def _recalls_failures(request: ImageRequest, policy: IdempotencyPolicy) -> bool:
    """Tell whether a remembered failure counts. `no-store` and an Idempotency-Key ask for another purchase."""
    return policy.failure_seconds > 0 and request.terms.allow_cached and request.terms.idempotency_key is None
