"""The cache: which requests one result serves, for how long, and what a hit costs and shows."""

from dataclasses import replace
from datetime import timedelta

import pytest

from service.domain.booking import Caller
from service.domain.cache_directives import CacheDirectives
from service.domain.errors import LimitExceeded, NotCached
from service.domain.generation import Usage
from service.domain.image_spec import Spec
from service.domain.ledger import Basis, CacheStatus
from service.domain.quota_limits import Limits
from service.domain.team_access import Team
from service.usecases.generate.flight_names import SHARED_SCOPE
from service.usecases.generate.result_cache import CachePolicy
from tests.fakes.builders import KEY, NOW, build_generation, caller, catalog, model, spec
from tests.fakes.gateway import CACHE, PLAIN, UNCACHED, Scene, drawn
from tests.fakes.image_store import FakeImageStore

CENT = 10_000_000
STRANGER = caller(key=replace(KEY, team=Team(name="ads")))


def member(**team: object) -> Caller:
    """A caller of a team with these settings."""
    return caller(key=replace(KEY, team=replace(Team(name="search"), **team)))  # type: ignore[arg-type]


async def test_an_identical_request_gets_the_cached_image_and_pays_nothing() -> None:
    scene = Scene()
    later = scene.gateway.replica(now=lambda: NOW + timedelta(seconds=90))

    first = await scene.ask()
    second = await scene.ask(replica=later)

    assert (first.source, second.source, second.age) == (CacheStatus.MISS, CacheStatus.HIT, 90)
    assert (drawn(first), drawn(second), scene.alpha.calls) == ([b"fox1"], [b"fox1"], 1)
    assert (second.cost, second.result.created, second.result.backend) == (0, 7, "alpha")
    entry = next(entry for entry in await scene.gateway.entries() if entry.cache == "hit")
    assert (entry.cost, entry.saved, entry.basis, entry.cache) == (0, CENT, Basis.CACHE, "hit")
    assert (entry.resolved_tier, entry.size, entry.n) == ("low", "1024x1024", 1)


@pytest.mark.parametrize(
    "terms", [CacheDirectives(variant=1), CacheDirectives(max_age=0), CacheDirectives(allow_cached=False)]
)
async def test_a_request_for_another_image_gets_another_image(terms: CacheDirectives) -> None:
    scene = Scene()

    await scene.ask()
    second = await scene.ask(terms)

    assert (drawn(second), scene.alpha.calls) == ([b"fox2"], 2)


async def test_a_newer_image_replaces_the_older_one() -> None:
    scene = Scene()

    deliveries = [await scene.ask(terms) for terms in (PLAIN, CacheDirectives(max_age=0), PLAIN)]

    assert [drawn(delivery) for delivery in deliveries] == [[b"fox1"], [b"fox2"], [b"fox2"]]


async def test_a_result_older_than_max_age_is_bought_again() -> None:
    scene = Scene()
    later = scene.gateway.replica(now=lambda: NOW + timedelta(seconds=61))
    await scene.ask()
    scene.flights.now += 61_000_000

    young = await scene.ask(CacheDirectives(max_age=62), replica=later)
    old = await scene.ask(CacheDirectives(max_age=60), replica=later)

    assert (young.source, old.source) == (CacheStatus.HIT, CacheStatus.MISS)


@pytest.mark.parametrize(("who", "other_spec"), [(caller(), spec(prompt="a blue fox")), (STRANGER, spec())])
async def test_another_team_and_another_prompt_are_other_requests(who: Caller, other_spec: Spec) -> None:
    scene = Scene()
    await scene.ask()

    other = await scene.ask(who=who, spec=other_spec)

    assert other.source is CacheStatus.MISS


async def test_teams_share_results_if_the_operator_allows_it() -> None:
    scene = Scene(cache=replace(CACHE, shared=True))

    await scene.ask()
    other = await scene.ask(who=STRANGER)

    assert other.source is CacheStatus.HIT
    assert await scene.results.stats(SHARED_SCOPE, None) is not None


@pytest.mark.parametrize(
    ("of_team", "of_model", "source"),
    [
        (0, None, CacheStatus.BYPASS),
        (None, 0, CacheStatus.BYPASS),
        (5, 0, CacheStatus.MISS),
        (None, 5, CacheStatus.MISS),
    ],
)
async def test_the_team_decides_then_the_model_then_the_gateway(
    of_team: int | None, of_model: int | None, source: CacheStatus
) -> None:
    known = catalog(model(cache_seconds=of_model))

    delivery = await Scene().ask(who=member(cache_seconds=of_team), catalog=known)

    assert delivery.source is source


@pytest.mark.parametrize("seconds", [None, 0])
@pytest.mark.parametrize(
    "terms",
    [
        PLAIN,
        CacheDirectives(max_age=0),
        CacheDirectives(allow_cached=False),
        CacheDirectives(allow_cached=False, retry_count=0),
        CacheDirectives(allow_cached=False, retry_count=1),
        CacheDirectives(max_age=0, retry_count=0),
    ],
)
async def test_the_entry_of_a_purchase_has_the_cache_status_of_the_response(
    terms: CacheDirectives, seconds: int | None
) -> None:
    scene = Scene()

    delivery = await scene.ask(terms, member(cache_seconds=seconds))

    assert [entry.cache for entry in await scene.gateway.entries()] == [delivery.source.value]
    assert delivery.source is (CacheStatus.MISS if terms.allow_cached and seconds is None else CacheStatus.BYPASS)


async def test_only_if_cached_buys_nothing() -> None:
    scene = Scene()

    with pytest.raises(NotCached):
        await scene.ask(CacheDirectives(only_if_cached=True))
    await scene.ask()
    hit = await scene.ask(CacheDirectives(only_if_cached=True))

    assert (hit.source, scene.alpha.calls) == (CacheStatus.HIT, 1)


@pytest.mark.parametrize(
    ("cache", "terms"),
    [
        (UNCACHED, CacheDirectives(only_if_cached=True)),
        (CACHE, CacheDirectives(only_if_cached=True, has_relayed_links=True)),
    ],
)
async def test_only_if_cached_buys_nothing_where_nothing_is_cached(cache: CachePolicy, terms: CacheDirectives) -> None:
    scene = Scene(cache=cache)

    with pytest.raises(NotCached):
        await scene.ask(terms)

    assert scene.alpha.calls == 0


async def test_a_hit_counts_as_a_request() -> None:
    scene, who = Scene(), member(limits=Limits(requests_per_minute=2, images_per_minute=1))
    await scene.ask(who=who)
    await scene.ask(who=who)

    with pytest.raises(LimitExceeded):
        await scene.ask(who=who)


async def test_a_hit_shows_the_ids_of_the_first_response_and_an_id_of_its_own() -> None:
    scene = Scene(store=FakeImageStore(), keep_all=True)

    first = await scene.ask()
    hit = await scene.ask(who=caller(request_id="req_2"))

    assert (hit.result.ids, hit.result.images_stored) == (first.result.ids, True)
    assert (first.request_id, hit.request_id) == ("req_1", "req_2")


async def test_without_a_cache_every_request_is_a_purchase() -> None:
    scene = Scene(cache=UNCACHED)

    deliveries = [await scene.ask() for _ in range(2)]

    assert [delivery.source for delivery in deliveries] == [CacheStatus.BYPASS] * 2
    assert scene.alpha.calls == 2


@pytest.mark.parametrize(("again", "tokens"), [(None, 0), (1, 200)])
async def test_a_hit_has_no_tokens_if_the_operator_wants_it_but_a_retry_has_those_of_the_first_try(
    again: int | None, tokens: int
) -> None:
    scene = Scene(build_generation("Zm94", usage=Usage(image_out=200)), zero_usage=True)

    first = await scene.ask()
    hit = await scene.ask(CacheDirectives(retry_count=again))

    assert [delivery.result.generation.usage for delivery in (first, hit)] == [
        Usage(image_out=200),
        Usage(image_out=tokens),
    ]
