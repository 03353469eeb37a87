"""The names of flights: which requests share a result, a series of samples, or a remembered failure.

Rule: a name is a digest of every value that decides whether one result serves both requests. Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from service.domain.cache_directives import MAX_SAMPLES
from service.domain.image_spec import fingerprint
from service.domain.team_access import Key, Team
from service.usecases.ports.requests import ImageRequest

SHARED_SCOPE = "_shared"


@dataclass(frozen=True, slots=True)
class CacheKey:
    """The place of a result: the team, or the scope of all teams, and a name within it."""

    scope: str
    name: str


def cache_key(request: ImageRequest, *, shared: bool) -> CacheKey:
    """Return the key of a request. Two requests have an equal key only if one result serves both."""
    (key,) = _cache_keys(request, (request.terms.variant,), shared=shared)
    return key


def sample_keys(request: ImageRequest, *, shared: bool) -> list[CacheKey]:
    """Return the cache keys of the samples that the store may assign, by their numbers."""
    return _cache_keys(request, range(MAX_SAMPLES), shared=shared)


def series_name(first_sample: str) -> str:
    """Return the name of the series of samples of a request, from the name of the first sample."""
    return f"{first_sample}-series"


def name_for_key(key: Key, name: str) -> str:
    """Return the name of a record for the identical requests of one API key only."""
    return sha256(f"{key.id}\n{name}".encode()).hexdigest()


def idempotency_name(key: str) -> str:
    """Return the name of the flight of an Idempotency-Key."""
    return f"key-{sha256(key.encode()).hexdigest()}"


def request_digest(request: ImageRequest) -> str:
    """Return a digest of every value that shows in the response. An Idempotency-Key belongs to one digest."""
    return sha256(f"{fingerprint(request.spec)}\n{request.terms.variant}\n{request.linked}".encode()).hexdigest()


def _cache_keys(request: ImageRequest, variants: Iterable[int], *, shared: bool) -> list[CacheKey]:
    team, spec_digest = request.caller.key.team, fingerprint(request.spec)
    scope, bounds = SHARED_SCOPE if shared else team.name, _allowed_backends(team)
    return [CacheKey(scope, sha256(f"{spec_digest}\n{variant}{bounds}".encode()).hexdigest()) for variant in variants]


def _allowed_backends(team: Team) -> str:
    """Return a part of the name, so that a restricted team never gets an image from a backend it is barred from."""
    bounds = (sorted(team.backends), sorted(team.barred_backends))
    return f"\n{bounds}" if any(bounds) else ""
