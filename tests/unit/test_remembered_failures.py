"""Failures that may have been billed: identical requests of the same key are answered with them for a while."""

from dataclasses import replace

import pytest

from service.domain.booking import Caller
from service.domain.cache_directives import CacheDirectives
from service.domain.errors import MAY_BE_BILLED, BackendFailed, FailureKind, FailureShared, StateUnavailable
from service.usecases.generate.result_cache import CachePolicy
from service.usecases.ports.events import FlightResolved
from service.usecases.ports.flights import Role
from tests.fakes.builders import KEY, caller, failure
from tests.fakes.flights import FakeFlights
from tests.fakes.gateway import CACHE, IDEMPOTENCY, PLAIN, UNCACHED, Scene
from tests.fakes.steps import Steps

TIMED_OUT = failure(FailureKind.TIMED_OUT)
OTHER_KEY = caller(key=replace(KEY, id="search-2"))


@pytest.mark.parametrize("cache", [CACHE, UNCACHED, replace(CACHE, shared=True)])
@pytest.mark.parametrize(
    "terms",
    [PLAIN, CacheDirectives(retry_count=0), CacheDirectives(max_age=0), CacheDirectives(has_relayed_links=True)],
)
async def test_a_failure_that_may_have_been_billed_is_the_answer_for_a_while(
    cache: CachePolicy, terms: CacheDirectives
) -> None:
    scene = Scene(TIMED_OUT, cache=cache)
    with pytest.raises(BackendFailed) as first:
        await scene.ask(terms)

    for seconds in (2, 4, 23):
        scene.flights.now += seconds * 1_000_000
        with pytest.raises(FailureShared) as again:
            await scene.ask(terms)
        assert again.value.failure == first.value.failure
    assert scene.alpha.calls == 1

    scene.flights.now += 1_000_000
    await scene.ask(terms)
    assert scene.alpha.calls == 2


@pytest.mark.parametrize("cache", [CACHE, UNCACHED])
@pytest.mark.parametrize(
    ("who", "terms"),
    [
        (caller(), CacheDirectives(allow_cached=False)),
        (caller(), CacheDirectives(variant=1)),
        (caller(), CacheDirectives(idempotency_key="new")),
        (OTHER_KEY, PLAIN),
    ],
)
async def test_another_purchase_and_another_key_are_not_answered_with_it(
    cache: CachePolicy, who: Caller, terms: CacheDirectives
) -> None:
    scene = Scene(TIMED_OUT, cache=cache)
    with pytest.raises(BackendFailed):
        await scene.ask()
    scene.flights.now += 0 if terms.idempotency_key else 2_000_000

    await scene.ask(terms, who)

    assert scene.alpha.calls == 2


@pytest.mark.parametrize("kind", sorted(set(FailureKind) - MAY_BE_BILLED))
@pytest.mark.parametrize("cache", [CACHE, UNCACHED])
async def test_a_failure_that_was_certainly_not_billed_is_not_remembered(cache: CachePolicy, kind: FailureKind) -> None:
    scene = Scene(failure(kind), cache=cache)
    with pytest.raises(BackendFailed):
        await scene.ask()
    scene.flights.now += 2_000_000

    await scene.ask()

    assert scene.alpha.calls == 2


@pytest.mark.parametrize("cache", [CACHE, UNCACHED])
async def test_no_failure_is_remembered_if_the_operator_wants_it(cache: CachePolicy) -> None:
    scene = Scene(TIMED_OUT, cache=cache, idempotency=replace(IDEMPOTENCY, failure_seconds=0))
    with pytest.raises(BackendFailed):
        await scene.ask()
    scene.flights.now += 2_000_000

    await scene.ask()

    assert scene.alpha.calls == 2


async def test_the_purchase_of_another_key_does_not_erase_a_remembered_failure() -> None:
    scene = Scene(TIMED_OUT, failure(FailureKind.OVERLOADED))
    for who in (caller(), OTHER_KEY):
        with pytest.raises(BackendFailed):
            await scene.ask(who=who)
        scene.flights.now += 2_000_000

    with pytest.raises(FailureShared):
        await scene.ask()

    assert scene.alpha.calls == 2


async def test_a_remembered_failure_is_observed_as_a_flight_that_ended() -> None:
    scene = Scene(TIMED_OUT, cache=UNCACHED)

    for _ in range(2):
        with pytest.raises(BackendFailed):
            await scene.ask()

    assert [event.role for event in scene.gateway.observer.of(FlightResolved)] == [Role.FINISHED]


async def test_a_failure_is_remembered_before_its_flight_ends() -> None:
    scene, steps = Scene(TIMED_OUT), Steps()
    for verb in ("remember_failure", "finish"):
        steps.watch(scene.flights, verb, lambda *_, verb=verb: verb)

    with pytest.raises(BackendFailed):
        await scene.ask()

    assert steps.done == ["remember_failure", "finish"]


class ForgetfulFlights(FakeFlights):
    async def remember_failure(self, *_: object) -> None:
        raise StateUnavailable("away")


async def test_a_failure_that_cannot_be_remembered_is_answered_all_the_same() -> None:
    scene = Scene(TIMED_OUT, flights=ForgetfulFlights())

    with pytest.raises(BackendFailed, match="It did not work"):
        await scene.ask()
