"""From backend to backend: which is called next, which is waited for, and the half of a request that failed."""

from dataclasses import replace
from typing import Any

import pytest

from service.domain.cache_directives import CacheDirectives
from service.domain.errors import MAY_BE_BILLED, BackendFailed, Failure, FailureKind, LimitExceeded, StateUnavailable
from service.domain.generation import CallOutcome
from service.domain.ledger import Entry
from service.domain.quota_limits import Limits
from service.domain.routing import STEP_AFTER, NextStep
from service.domain.team_access import Team
from service.usecases.generate.attempts import RetryPolicy
from service.usecases.generate.delivery import Delivery
from service.usecases.ports.events import AttemptFinished
from tests.fakes.backends import FakeBackend
from tests.fakes.builders import KEY, build_generation, caller, catalog, failure, image_request, model, route, spec
from tests.fakes.gateway import Gateway, drawn

CENT = 10_000_000
TWO_WAYS = catalog(model(routes=(route(backend="alpha"), route(backend="beta"))))
FOUR_AT_ONCE = catalog(model(routes=(route(max_n=4), route(backend="beta"))))
SOME, ALL = RetryPolicy(wait_seconds=10, accepts_partial=True), RetryPolicy(wait_seconds=10)
LATER = sorted(kind for kind, following in STEP_AFTER.items() if following is NextStep.LATER)
NOT_LATER = sorted(kind for kind, following in STEP_AFTER.items() if following is not NextStep.LATER)
BUSY = failure(FailureKind.BUSY)


class Scene:
    """Two backends, books, and a clock that only stands for being waited for."""

    def __init__(self, *alpha: CallOutcome, beta: tuple[CallOutcome, ...] = (), retry: RetryPolicy = ALL) -> None:
        self.alpha, self.beta = FakeBackend(*alpha), FakeBackend(*beta)
        self.slept: list[float] = []
        self.after_sleep: list[StateUnavailable] = []
        backends = {"alpha": self.alpha, "beta": self.beta}
        self.gateway = Gateway(backends=backends, retry=retry, sleep=self.sleep)
        self.admission, self.observer = self.gateway.admission, self.gateway.observer

    async def make(self, *about: Any) -> Delivery:
        """Send a request that shares with none: its spec, caller and catalog."""
        return await self.gateway.replica().make(image_request(*about, terms=CacheDirectives(allow_cached=False)))

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.admission.blocks.clear()
        self.admission.refusals += self.after_sleep

    async def booked(self) -> list[Entry]:
        return await self.gateway.entries()

    @property
    def asked(self) -> list[int]:
        return [order.spec.n for order in self.alpha.requests]


def limited(kind: FailureKind, seconds: float, *, asked: bool = True) -> Failure:
    return replace(failure(kind), retry_after=seconds, asked=asked)


@pytest.mark.parametrize("kind", LATER)
async def test_the_only_backend_is_asked_once_more_when_it_says(kind: FailureKind) -> None:
    scene = Scene(limited(kind, 4), build_generation("a"))
    made = await scene.make(spec(), caller(), catalog())
    assert (drawn(made), scene.slept, scene.asked) == ([b"a"], [4], [1, 1])
    assert [event.failure for event in scene.observer.of(AttemptFinished)] == [kind, None]
    assert [entry.cost for entry in await scene.booked()] == [CENT]


@pytest.mark.parametrize("kind", NOT_LATER)
async def test_what_does_not_pass_is_not_waited_for(kind: FailureKind) -> None:
    scene = Scene(failure(kind))
    with pytest.raises(BackendFailed):
        await scene.make(spec(), caller(), catalog())
    assert (scene.slept, scene.asked) == ([], [1])


async def test_a_waiting_request_holds_no_money() -> None:
    scene = Scene(limited(FailureKind.RATE_LIMITED, 4), build_generation("a"))
    only_one = caller(key=replace(KEY, team=Team(name="search", limits=Limits(usd_per_day=CENT, concurrent_images=1))))
    assert (await scene.make(spec(), only_one, catalog())).cost == CENT


async def test_it_is_no_second_request_of_the_caller() -> None:
    scene = Scene(limited(FailureKind.RATE_LIMITED, 4), build_generation("a"))
    once = caller(key=replace(KEY, team=Team(name="search", limits=Limits(requests_per_minute=1))))
    assert (await scene.make(spec(), once, catalog())).cost == CENT


async def test_a_wait_that_is_too_long_is_answered_with_its_length() -> None:
    scene = Scene(limited(FailureKind.RATE_LIMITED, 11))
    with pytest.raises(BackendFailed) as failed:
        await scene.make(spec(), caller(), catalog())
    assert (failed.value.failure.kind, failed.value.failure.retry_after) == (FailureKind.RATE_LIMITED, 11)
    assert (scene.slept, scene.asked) == ([], [1])


async def test_a_backend_that_is_set_aside_is_passed_over() -> None:
    scene = Scene(beta=(build_generation("b"),))
    scene.admission.blocks["alpha"] = limited(FailureKind.SET_ASIDE, 3, asked=False)
    made = await scene.make(spec(), caller(), TWO_WAYS)
    assert (made.result.backend, scene.asked, scene.slept) == ("beta", [], [])


async def test_if_all_are_set_aside_the_first_to_come_back_is_waited_for() -> None:
    scene = Scene(beta=(build_generation("b"),))
    scene.admission.blocks |= {
        "alpha": limited(FailureKind.SET_ASIDE, 5, asked=False),
        "beta": limited(FailureKind.RATE_LIMITED, 3, asked=False),
    }
    made = await scene.make(spec(), caller(), TWO_WAYS)
    assert (made.result.backend, scene.slept) == ("beta", [3])


async def test_waits_add_up() -> None:
    scene = Scene()
    scene.admission.refusals += [limited(FailureKind.RATE_LIMITED, 4, asked=False)] * 3
    with pytest.raises(BackendFailed):
        await scene.make(spec(), caller(), catalog())
    assert (scene.slept, scene.asked) == ([4, 4], [])


async def test_an_attempt_without_a_slot_goes_to_the_next_backend() -> None:
    scene = Scene(beta=(build_generation("b"),))
    scene.admission.refusals.append(replace(BUSY, asked=False))
    made = await scene.make(spec(), caller(), TWO_WAYS)
    assert (made.result.backend, scene.slept) == ("beta", [])
    assert [entry.backend for entry in await scene.booked()] == ["beta"]


@pytest.mark.parametrize("kind", LATER)
async def test_the_missing_part_of_an_order_is_asked_for_where_the_rest_came_from(kind: FailureKind) -> None:
    scene = Scene(
        build_generation("a", "b", "c", "d"),
        failure(kind),
        build_generation("e", "f"),
        beta=(build_generation("wrong"),),
    )
    made = await scene.make(spec(n=6), caller(), FOUR_AT_ONCE)
    assert (drawn(made), made.result.backend, made.cost) == ([b"a", b"b", b"c", b"d", b"e", b"f"], "alpha", 6 * CENT)
    assert (scene.asked, scene.slept) == ([4, 2, 2], [0.5])
    assert [entry.n for entry in await scene.booked()] == [4, 2]
    assert made.spec.n == 6


@pytest.mark.parametrize("kind", FailureKind)
async def test_all_or_nothing(kind: FailureKind) -> None:
    scene = Scene(failure(kind, "No."), build_generation("e", "f"), failure(kind, "No."))
    with pytest.raises(
        BackendFailed, match=r"2 of 6 images were bought and are booked; the rest failed\. No\."
    ) as failed:
        await scene.make(spec(n=6), caller(), FOUR_AT_ONCE)
    assert failed.value.failure.may_be_billed
    assert scene.beta.requests == []
    assert [entry.n for entry in await scene.booked()] == ([4, 2] if kind in MAY_BE_BILLED else [2])


@pytest.mark.parametrize("kind", FailureKind)
async def test_some_are_enough_if_the_operator_says_so(kind: FailureKind) -> None:
    scene = Scene(failure(kind), build_generation("e", "f"), failure(kind), retry=SOME)
    made = await scene.make(spec(n=6), caller(), FOUR_AT_ONCE)
    assert (drawn(made), made.spec.n) == ([b"e", b"f"], 6)
    assert made.cost == sum(entry.cost for entry in await scene.booked())


@pytest.mark.parametrize("retry", [ALL, SOME])
async def test_the_rest_that_is_not_admitted_any_more(retry: RetryPolicy) -> None:
    scene = Scene(failure(FailureKind.OVERLOADED), build_generation("e", "f"), retry=retry)
    scene.after_sleep.append(StateUnavailable("The gateway's state does not answer."))
    if retry is SOME:
        assert drawn(await scene.make(spec(n=6), caller(), FOUR_AT_ONCE)) == [b"e", b"f"]
        return
    with pytest.raises(BackendFailed, match=r"2 of 6 images were bought .* state does not answer"):
        await scene.make(spec(n=6), caller(), FOUR_AT_ONCE)


async def test_a_refusal_while_nothing_was_bought_is_answered_as_it_is() -> None:
    scene = Scene()
    poor = caller(key=replace(KEY, team=Team(name="search", limits=Limits(usd_per_day=0))))
    with pytest.raises(LimitExceeded):
        await scene.make(spec(), poor, catalog())


async def test_a_backend_that_delivers_too_many_makes_up_for_the_rest() -> None:
    scene = Scene(build_generation("a", "b", "c", "d", "e", "f"), failure(FailureKind.OVERLOADED))
    made = await scene.make(spec(n=6), caller(), FOUR_AT_ONCE)
    assert (len(drawn(made)), scene.asked) == (6, [4, 2])


async def test_what_a_vendor_does_not_deliver_is_not_asked_for_again() -> None:
    scene = Scene(build_generation("a", "b", "c"), retry=SOME)
    made = await scene.make(spec(n=4), caller(), FOUR_AT_ONCE)
    assert (drawn(made), scene.asked) == ([b"a", b"b", b"c"], [4])


async def test_some_of_several_pictures_are_an_error_where_all_were_wanted() -> None:
    scene = Scene(build_generation("a", "b"))
    with pytest.raises(BackendFailed, match="2 of 4") as failed:
        await scene.make(spec(n=4), caller(), FOUR_AT_ONCE)
    assert (failed.value.failure.may_be_billed, scene.asked) == (True, [4])
    assert [(entry.n, entry.cost) for entry in await scene.booked()] == [(2, 2 * CENT)]


async def test_a_permanent_failure_is_not_repeated_and_the_next_backend_is_asked() -> None:
    misdirected = replace(failure(FailureKind.SERVER_ERROR), permanent=True)
    scene = Scene(misdirected, beta=(build_generation("b"),))
    made = await scene.make(spec(), caller(), TWO_WAYS)
    assert (made.result.backend, scene.asked, scene.slept) == ("beta", [1], [])
    alone = Scene(misdirected)
    with pytest.raises(BackendFailed) as failed:
        await alone.make(spec(), caller(), catalog())
    assert (alone.asked, alone.slept, failed.value.failure.may_be_billed) == ([1], [], False)
    assert await alone.booked() == []
