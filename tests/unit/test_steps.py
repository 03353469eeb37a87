"""The next step: every failure in every situation, without an endless loop or a second payment."""

import itertools
from dataclasses import replace

import pytest

from service.domain.errors import MAY_BE_BILLED, Failure, FailureKind
from service.domain.failover import MAX_ATTEMPTS, RETRY_SECONDS, FailedAttempt, PlannedAttempt, RouteState, next_step
from service.domain.routing import STEP_AFTER, NextStep, Plan
from tests.fakes.builders import failure, price, route

ALPHA, BETA, GAMMA, DELTA = (
    Plan(route=route(backend=name), price=price()) for name in ("alpha", "beta", "gamma", "delta")
)
LATER = sorted(kind for kind, following in STEP_AFTER.items() if following is NextStep.LATER)
WAIT_BUDGET = 10.0


def failed(kind: FailureKind, plan: Plan = ALPHA, *, asked: bool = True, after: float | None = None) -> FailedAttempt:
    return FailedAttempt(plan=plan, failure=replace(failure(kind), asked=asked, retry_after=after))


def ways(*plans: Plan, **hindrances: Failure) -> list[RouteState]:
    return [RouteState(plan=plan, blocked_by=hindrances.get(plan.route.backend)) for plan in plans]


def blocked(kind: FailureKind, seconds: float | None) -> Failure:
    return replace(failure(kind), asked=False, retry_after=seconds)


FIRST_FAILED: dict[FailureKind, tuple[Plan | None, Plan | None]] = {
    # kind: (who is next if there is another candidate, who is next if there is none)
    FailureKind.INVALID_REQUEST: (None, None),
    FailureKind.MODERATION_BLOCKED: (None, None),
    FailureKind.TIMED_OUT: (None, None),
    FailureKind.BROKEN_REPLY: (None, None),
    FailureKind.MODEL_NOT_FOUND: (BETA, None),
    FailureKind.NOT_PERMITTED: (BETA, None),
    FailureKind.AUTH_FAILED: (BETA, None),
    FailureKind.FORBIDDEN: (BETA, None),
    FailureKind.QUOTA_EXHAUSTED: (BETA, None),
    FailureKind.RATE_LIMITED: (BETA, ALPHA),
    FailureKind.OVERLOADED: (BETA, ALPHA),
    FailureKind.SERVER_ERROR: (BETA, ALPHA),
    FailureKind.UNREACHABLE: (BETA, ALPHA),
    FailureKind.BUSY: (BETA, ALPHA),
    FailureKind.SET_ASIDE: (BETA, ALPHA),
}


def test_every_kind_of_failure_is_in_the_table() -> None:
    assert FIRST_FAILED.keys() == set(FailureKind)


@pytest.mark.parametrize("kind", FailureKind)
def test_with_another_candidate_that_one_is_asked_at_once(kind: FailureKind) -> None:
    following = next_step(ways(ALPHA, BETA), [failed(kind)], WAIT_BUDGET)
    expected, _ = FIRST_FAILED[kind]
    assert following == (PlannedAttempt(plan=expected) if expected else failure(kind))


@pytest.mark.parametrize("kind", FailureKind)
def test_without_another_one_the_same_is_asked_once_more_after_a_pause(kind: FailureKind) -> None:
    _, expected = FIRST_FAILED[kind]
    following = next_step(ways(ALPHA), [failed(kind)], WAIT_BUDGET)
    assert following == (PlannedAttempt(plan=expected, wait_seconds=RETRY_SECONDS) if expected else failure(kind))


@pytest.mark.parametrize("kind", FailureKind)
def test_no_backend_is_called_three_times(kind: FailureKind) -> None:
    following = next_step(ways(ALPHA), [failed(FailureKind.OVERLOADED), failed(kind)], WAIT_BUDGET)
    assert isinstance(following, Failure)


@pytest.mark.parametrize("kind", FailureKind)
@pytest.mark.parametrize("drawn", [False, True])
def test_what_may_have_been_billed_ends_it_whatever_else_there_is(kind: FailureKind, *, drawn: bool) -> None:
    last = FailedAttempt(plan=BETA, failure=replace(failure(kind), drawn=drawn))
    following = next_step(ways(ALPHA, BETA, GAMMA), [failed(FailureKind.OVERLOADED), last], WAIT_BUDGET)
    if drawn or kind in MAY_BE_BILLED:
        assert following is last.failure


@pytest.mark.parametrize("kind", LATER)
@pytest.mark.parametrize(("after", "wait"), [(None, RETRY_SECONDS), (0.1, RETRY_SECONDS), (4.0, 4.0), (10.0, 10.0)])
def test_a_vendor_that_says_when_is_waited_for(kind: FailureKind, after: float | None, wait: float) -> None:
    assert next_step(ways(ALPHA), [failed(kind, after=after)], WAIT_BUDGET) == PlannedAttempt(
        plan=ALPHA, wait_seconds=wait
    )


@pytest.mark.parametrize("kind", LATER)
def test_no_request_waits_longer_than_the_setting(kind: FailureKind) -> None:
    reported = next_step(ways(ALPHA), [failed(kind, after=10.1)], WAIT_BUDGET)
    assert reported == replace(failure(kind), retry_after=10.1)


def test_who_is_known_to_be_in_the_way_is_not_asked() -> None:
    hindered = ways(ALPHA, BETA, alpha=blocked(FailureKind.SET_ASIDE, 3))
    assert next_step(hindered, [], WAIT_BUDGET) == PlannedAttempt(plan=BETA)


def test_who_is_ready_first_is_waited_for() -> None:
    hindered = ways(ALPHA, BETA, alpha=blocked(FailureKind.SET_ASIDE, 5), beta=blocked(FailureKind.RATE_LIMITED, 2))
    assert next_step(hindered, [], WAIT_BUDGET) == PlannedAttempt(plan=BETA, wait_seconds=2)
    assert next_step(hindered, [], 1) == blocked(FailureKind.RATE_LIMITED, 2)


def test_of_two_that_failed_the_one_that_fails_less_is_asked_again() -> None:
    tried = [failed(FailureKind.OVERLOADED), failed(FailureKind.OVERLOADED, BETA)]
    doubted = [RouteState(plan=ALPHA, consecutive_failures=4), RouteState(plan=BETA, consecutive_failures=1)]
    assert next_step(doubted, tried, WAIT_BUDGET) == PlannedAttempt(plan=BETA, wait_seconds=RETRY_SECONDS)
    assert next_step(doubted, [], WAIT_BUDGET) == PlannedAttempt(plan=ALPHA)


@pytest.mark.parametrize("kind", [FailureKind.AUTH_FAILED, FailureKind.QUOTA_EXHAUSTED])
def test_an_account_that_is_closed_is_not_waited_for(kind: FailureKind) -> None:
    closed = blocked(kind, 1)
    assert next_step(ways(ALPHA, alpha=closed), [], WAIT_BUDGET) is closed
    assert next_step(ways(ALPHA, BETA, alpha=closed), [], WAIT_BUDGET) == PlannedAttempt(plan=BETA)


def test_a_temporary_failure_is_reported_rather_than_a_final_one() -> None:
    tried = [failed(FailureKind.AUTH_FAILED), failed(FailureKind.RATE_LIMITED, BETA, after=30)]
    assert next_step(ways(ALPHA, BETA), tried, WAIT_BUDGET) == replace(
        failure(FailureKind.RATE_LIMITED), retry_after=30
    )


def test_without_a_temporary_failure_the_first_is_reported() -> None:
    tried = [failed(FailureKind.MODEL_NOT_FOUND), failed(FailureKind.AUTH_FAILED, BETA)]
    assert next_step(ways(ALPHA, BETA), tried, WAIT_BUDGET) is tried[0].failure


def test_three_candidates_are_three_attempts_and_the_fourth_is_not_asked() -> None:
    tried = [failed(FailureKind.AUTH_FAILED, plan) for plan in (ALPHA, BETA, GAMMA)]
    assert next_step(ways(ALPHA, BETA, GAMMA, DELTA), tried, WAIT_BUDGET) is tried[0].failure
    busy = [*tried[:2], failed(FailureKind.OVERLOADED, GAMMA)]
    assert next_step(ways(ALPHA, BETA, GAMMA, DELTA), busy, WAIT_BUDGET) == busy[2].failure


def test_who_was_put_off_was_not_asked() -> None:
    put_off = failed(FailureKind.RATE_LIMITED, asked=False, after=1)
    assert next_step(ways(ALPHA), [put_off], WAIT_BUDGET) == PlannedAttempt(plan=ALPHA, wait_seconds=1)
    assert next_step(ways(ALPHA), [put_off] * 5, WAIT_BUDGET) == PlannedAttempt(plan=ALPHA, wait_seconds=1)
    asked = failed(FailureKind.OVERLOADED)
    assert next_step(ways(ALPHA), [put_off, asked], WAIT_BUDGET) == PlannedAttempt(
        plan=ALPHA, wait_seconds=RETRY_SECONDS
    )
    assert isinstance(next_step(ways(ALPHA), [put_off, asked, asked], WAIT_BUDGET), Failure)


def test_what_is_in_the_way_and_what_was_said_both_count() -> None:
    hindered = ways(ALPHA, alpha=blocked(FailureKind.RATE_LIMITED, 3))
    assert next_step(hindered, [failed(FailureKind.OVERLOADED, after=1)], WAIT_BUDGET) == PlannedAttempt(
        plan=ALPHA, wait_seconds=3
    )
    assert next_step(hindered, [failed(FailureKind.OVERLOADED, after=5)], WAIT_BUDGET) == PlannedAttempt(
        plan=ALPHA, wait_seconds=5
    )


@pytest.mark.parametrize("plans", [(ALPHA,), (ALPHA, BETA), (ALPHA, BETA, GAMMA), (ALPHA, BETA, GAMMA, DELTA)])
def test_no_story_asks_more_than_it_may(plans: tuple[Plan, ...]) -> None:
    """Every sequence of outcomes: at most three calls, one of them a repetition, and the last may be billed only."""
    for kinds in itertools.product(FailureKind, repeat=MAX_ATTEMPTS):
        tried: list[FailedAttempt] = []
        while isinstance(following := next_step(ways(*plans), tried, WAIT_BUDGET), PlannedAttempt):
            assert len(tried) < MAX_ATTEMPTS, kinds
            tried.append(failed(kinds[len(tried)], following.plan))
        asked = [item.plan.route.backend for item in tried]
        assert len(asked) - len(set(asked)) <= 1, kinds
        assert all(STEP_AFTER[item.failure.kind] is not NextStep.GIVE_UP for item in tried[:-1]), kinds
        assert following.kind in {item.failure.kind for item in tried}
