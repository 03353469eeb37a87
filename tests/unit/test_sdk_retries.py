"""The retry of an SDK: it gets what its first try bought, even where requests share nothing."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from service.domain.cache_directives import CacheDirectives
from service.domain.errors import BackendFailed, FailureKind, FailureShared, ResultExpired
from service.domain.ledger import CacheStatus
from tests.fakes.builders import KEY, caller, failure
from tests.fakes.gateway import Scene, drawn
from tests.fakes.image_store import FakeImageStore

UNSHARED = [{"allow_cached": False}, {"max_age": 0}]


def tried(times: int, **more: Any) -> CacheDirectives:
    """The terms of a request that its SDK has sent this many times before."""
    return CacheDirectives(retry_count=times, **more)


@pytest.mark.parametrize("terms", UNSHARED)
@pytest.mark.parametrize("has_store", [False, True])
async def test_a_retry_gets_what_its_first_try_bought(terms: dict[str, Any], *, has_store: bool) -> None:
    scene = Scene(store=FakeImageStore() if has_store else None, keep_all=True)

    first = await scene.ask(tried(0, **terms))
    retry = await scene.ask(tried(1, **terms))

    assert (drawn(retry), retry.result.ids, scene.alpha.calls) == ([b"fox1"], first.result.ids, 1)
    assert first.source is (CacheStatus.MISS if "max_age" in terms else CacheStatus.BYPASS)
    assert (retry.source, retry.cost) == (CacheStatus.JOINED, 0)


@pytest.mark.parametrize("terms", UNSHARED)
async def test_a_retry_waits_for_what_its_first_try_is_buying(terms: dict[str, Any]) -> None:
    scene = Scene()
    scene.alpha.gate.clear()

    first = scene.start(tried(0, **terms))
    await scene.reached(1)
    first.cancel()
    retry = scene.start(tried(1, **terms))
    await asyncio.sleep(0.01)
    scene.alpha.gate.set()

    assert (drawn(await retry), scene.alpha.calls) == ([b"fox1"], 1)


@pytest.mark.parametrize("terms", UNSHARED)
async def test_two_requests_that_share_nothing_are_two_purchases(terms: dict[str, Any]) -> None:
    scene, stranger = Scene(), caller(key=replace(KEY, id="search-2"))

    for _ in range(2):
        await scene.ask(tried(0, **terms))
    retry = await scene.ask(tried(2, **terms))
    assert (drawn(retry), scene.alpha.calls) == ([b"fox2"], 2)

    await scene.ask(tried(2, **terms), stranger)
    assert scene.alpha.calls == 3


async def test_a_retry_whose_first_try_is_unknown_buys() -> None:
    scene = Scene()

    delivery = await scene.ask(tried(1, allow_cached=False))

    assert (delivery.source, scene.alpha.calls) == (CacheStatus.BYPASS, 1)


@pytest.mark.parametrize("terms", [{}, {"allow_cached": False}])
async def test_a_retry_does_not_repeat_what_may_have_been_billed(terms: dict[str, Any]) -> None:
    scene = Scene(failure(FailureKind.TIMED_OUT))
    with pytest.raises(BackendFailed):
        await scene.ask(tried(0, **terms))
    scene.flights.now += 60_000_000

    with pytest.raises(FailureShared):
        await scene.ask(tried(1, **terms))
    assert scene.alpha.calls == 1

    await scene.ask(tried(0, **terms))
    assert scene.alpha.calls == 2


@pytest.mark.parametrize("terms", [{}, {"allow_cached": False}])
async def test_a_retry_does_not_buy_again_what_is_nowhere_any_more(terms: dict[str, Any]) -> None:
    scene = Scene()
    scene.results.down = True
    await scene.ask(tried(0, **terms))

    with pytest.raises(ResultExpired):
        await scene.ask(tried(1, **terms))

    assert scene.alpha.calls == 1


async def test_a_retry_finds_in_the_image_store_what_the_cache_lost() -> None:
    store = FakeImageStore()
    scene = Scene(store=store, keep_all=True)
    scene.results.down = True
    await scene.ask(tried(0))

    assert drawn(await scene.ask(tried(1))) == [b"fox1"]

    store.stored.clear()
    with pytest.raises(ResultExpired):
        await scene.ask(tried(1))


async def test_a_retry_takes_over_a_result_that_no_store_takes() -> None:
    scene = Scene()
    scene.results.down = True
    scene.alpha.gate.clear()

    first = scene.start(tried(0, allow_cached=False))
    await scene.reached(1)
    retry = scene.start(tried(1, allow_cached=False))
    await asyncio.sleep(0.03)
    scene.alpha.gate.set()

    assert (drawn(await first), drawn(await retry), scene.alpha.calls) == ([b"fox1"], [b"fox1"], 1)


async def test_a_request_with_an_idempotency_key_needs_no_flight_of_its_own() -> None:
    scene = Scene()

    await scene.ask(tried(0, allow_cached=False, idempotency_key="8e03"))

    assert [name.partition("-")[0] for _, name in scene.flights.known()] == ["key"]
