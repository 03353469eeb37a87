"""The order of a request's steps: Idempotency-Key, limits, references, cache, flight, hold, sent, settled, transcoded.

Each arrow carries a promise: a replay fetches no link, the cache key depends on the fetched bytes, a cached result
needs no flight, a request that joins holds no money, no backend is called without a hold, and what was paid is posted
whatever becomes of the image.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from service.domain.booking import Caller
from service.domain.cache_directives import CacheDirectives
from service.domain.errors import BackendFailed, FailureKind, LimitExceeded, StateUnavailable, UnreachableLink
from service.domain.ledger import CacheStatus, EntryStatus
from service.domain.quota_limits import Limit, Limits, Measure
from service.domain.team_access import Team
from tests.fakes.builders import (
    KEY,
    build_generation,
    caller,
    catalog,
    edit,
    failure,
    linked,
    model,
    price,
    route,
    spec,
    upload,
)
from tests.fakes.gateway import Foxes, Scene, drawn
from tests.fakes.image_codec import FakeImageCodec
from tests.fakes.reference_fetcher import FakeReferenceFetcher
from tests.fakes.steps import Steps

CENT = 10_000_000
LINK = "https://pictures.test/fox.png"
PNG_ONLY = catalog(model(routes=(route(formats=frozenset({"png"}), carries=frozenset({"image", "quality"})),)))
STEPS = ("key", "limits", "fetch", "cache", "flight", "hold", "sent", "call", "settle", "transcode")


async def steps_of_a_request() -> Sequence[str]:
    """Serve a request that takes every step, and return the steps."""
    steps, scene = Steps(), Scene(links=FakeReferenceFetcher({LINK: b"fox"}))
    gateway = scene.gateway
    steps.watch(gateway.flights, "acquire", lambda _, name, *__: "key" if name.startswith("key-") else "flight")
    steps.watch(gateway.quotas, "limit_status", lambda *_: "limits")
    steps.watch(gateway.links, "fetch", lambda *_: "fetch")
    steps.watch(gateway.results, "get", lambda *_: "cache")
    steps.watch(gateway.quotas, "hold", lambda *_: "hold")
    steps.watch(gateway.flights, "mark_sent", lambda *_: "sent")
    steps.watch(scene.alpha, "generate", lambda *_: "call")
    steps.watch(gateway.quotas, "post", lambda *_: "settle")
    steps.watch(gateway.codec, "transcode", lambda *_: "transcode")
    request = edit(linked(LINK), output_format="webp")
    who = caller(key=replace(KEY, team=Team(name="search", limits=Limits(usd_per_day=CENT))))

    await scene.ask(CacheDirectives(idempotency_key="8e03"), who, spec=request, catalog=PNG_ONLY)

    return steps.done


@pytest.mark.parametrize(("earlier", "later"), [*pairwise(STEPS)], ids=[" → ".join(pair) for pair in pairwise(STEPS)])
async def test_each_step_comes_after_the_one_before(earlier: str, later: str) -> None:
    steps = await steps_of_a_request()

    assert steps.index(earlier) < steps.index(later)


REQUEST = edit(linked(LINK))


def with_link(**parts: Any) -> Scene:
    """A gateway that can fetch the link."""
    return Scene(**{"links": FakeReferenceFetcher({LINK: b"fox"}), **parts})


def limited(**limits: int) -> Caller:
    """A caller of a team with limits."""
    return caller(key=replace(KEY, team=Team(name="search", limits=Limits(**limits))))


async def test_a_replay_fetches_no_link() -> None:
    scene = with_link()

    first = await scene.ask(CacheDirectives(idempotency_key="8e03"), spec=REQUEST)
    again = await scene.ask(CacheDirectives(idempotency_key="8e03"), spec=REQUEST)

    assert (again.source, drawn(again)) == (CacheStatus.REPLAYED, drawn(first))
    assert scene.gateway.links.fetched == [LINK]


async def test_the_bytes_behind_a_link_decide_whether_it_is_a_hit() -> None:
    scene = with_link()

    linked_image = await scene.ask(spec=REQUEST)
    sent_image = await scene.ask(spec=edit(upload(b"fox")))
    other_image = await scene.ask(spec=edit(upload(b"owl")))

    assert [delivery.source for delivery in (linked_image, sent_image, other_image)] == [
        CacheStatus.MISS,
        CacheStatus.HIT,
        CacheStatus.MISS,
    ]


@pytest.mark.parametrize(
    "terms", [CacheDirectives(), CacheDirectives(allow_cached=False), CacheDirectives(idempotency_key="8e03")]
)
@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"usd_per_day": 0}, r"\$0\.00 per day"),
        ({"usd_per_month": CENT - 1}, "per month"),
        ({"requests_per_minute": 0}, "0 requests per minute"),
        ({"images_per_minute": 0}, "0 images per minute"),
        ({"concurrent_images": 0}, "0 images"),
    ],
)
async def test_a_team_over_a_limit_does_not_make_the_gateway_fetch(
    terms: CacheDirectives, limits: dict[str, int], words: str
) -> None:
    scene = with_link()

    with pytest.raises(LimitExceeded, match=words) as early:
        await scene.ask(terms, limited(**limits), spec=REQUEST)
    with pytest.raises(LimitExceeded) as at_hold:
        await scene.ask(terms, limited(**limits))

    assert (scene.gateway.links.fetched, scene.alpha.calls) == ([], 0)
    assert early.value.message == at_hold.value.message
    assert early.value.limit_status == at_hold.value.limit_status


async def test_without_the_counters_no_link_is_fetched() -> None:
    scene = with_link()
    scene.gateway.quotas.down = True

    with pytest.raises(StateUnavailable):
        await scene.ask(who=limited(usd_per_day=CENT), spec=REQUEST)

    assert scene.gateway.links.fetched == []


async def test_a_link_is_fetched_if_any_route_would_be_admitted() -> None:
    dear = route(prices=(price(per_image=3 * CENT),))
    known = catalog(model(routes=(dear, route(backend="beta"))))
    beta = Foxes()
    scene = with_link(backends={"alpha": Foxes(), "beta": beta})
    scene.gateway.admission.blocks["alpha"] = replace(failure(FailureKind.SET_ASIDE), asked=False)

    await scene.ask(who=limited(usd_per_day=2 * CENT), spec=REQUEST, catalog=known)

    assert (scene.gateway.links.fetched, beta.calls) == ([LINK], 1)


@pytest.mark.parametrize("terms", [CacheDirectives(retry_count=1), CacheDirectives(only_if_cached=True)])
async def test_a_request_that_may_cost_nothing_is_served_though_the_money_is_spent(terms: CacheDirectives) -> None:
    scene, who = with_link(), limited(usd_per_day=CENT, images_per_minute=1)

    first = await scene.ask(CacheDirectives(retry_count=0), who, spec=REQUEST)
    again = await scene.ask(terms, who, spec=REQUEST)

    assert (drawn(again), again.cost) == (drawn(first), 0)


async def test_a_link_that_cannot_be_fetched_holds_nothing() -> None:
    scene = Scene()

    with pytest.raises(UnreachableLink):
        await scene.ask(who=limited(usd_per_day=CENT), spec=REQUEST)

    (standing,) = await scene.gateway.quotas.limit_status("search", [Limit("team", Measure.DAY, CENT)])
    assert standing.used == 0


async def test_a_link_that_the_vendors_fetch_needs_no_limits_before_the_hold() -> None:
    scene, steps = with_link(), Steps()
    scene.alpha.accepts_links = True
    steps.watch(scene.gateway.quotas, "limit_status", lambda *_: "limits")

    delivery = await scene.ask(who=limited(usd_per_day=CENT), spec=REQUEST)

    assert (delivery.source, scene.gateway.links.fetched, steps.done) == (CacheStatus.BYPASS, [], [])


async def test_a_request_that_joins_holds_no_money() -> None:
    scene, who = Scene(), limited(usd_per_day=CENT, concurrent_images=1)
    scene.alpha.gate.clear()
    replica = scene.gateway.replica()

    asking = [scene.start(CacheDirectives(), who, replica=replica) for _ in range(2)]
    await scene.reached(1)
    scene.alpha.gate.set()
    deliveries = await asyncio.gather(*asking)

    assert [(delivery.source, delivery.cost) for delivery in deliveries] == [
        (CacheStatus.MISS, CENT),
        (CacheStatus.JOINED, 0),
    ]


async def test_an_image_that_cannot_be_transcoded_is_posted_all_the_same() -> None:
    scene = Scene(build_generation("junk"), codec=FakeImageCodec(broken={b"junk"}))

    with pytest.raises(BackendFailed, match="not a picture"):
        await scene.ask(spec=spec(output_format="webp"), catalog=PNG_ONLY)

    assert [(entry.cost, entry.status) for entry in await scene.gateway.entries()] == [(CENT, EntryStatus.DELIVERED)]
