"""The next step of a request when several backends may serve it and some have failed.

Rule: the decision follows from the failures and the waiting times alone, without a clock. One request makes at most
`MAX_ATTEMPTS` calls; one of them may repeat a call. No call is repeated that may have been billed, or that would fail
the same way elsewhere. Pure.

Fails with: nothing; the failure for the caller is returned.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from service.domain.errors import Failure
from service.domain.routing import NextStep, Plan, step_after

MAX_ATTEMPTS = 3
RETRY_SECONDS = 0.5  # before a call is repeated at a backend that names no time


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedAttempt:
    """A plan that was tried or put off, and its failure."""

    plan: Plan
    failure: Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedAttempt:
    """The next plan, and the seconds to wait before it."""

    plan: Plan
    wait_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteState:
    """A plan, the failure that blocks it now, and the number of its consecutive failures."""

    plan: Plan
    blocked_by: Failure | None = None
    consecutive_failures: int = 0


@dataclass(frozen=True, slots=True)
class _Option:
    """A route that may still deliver. Of equal routes, the one with fewer `consecutive_failures` comes first."""

    plan: Plan
    seconds: float
    consecutive_failures: int
    failure: Failure | None


def next_step(
    route_states: Sequence[RouteState], failed_attempts: Sequence[FailedAttempt], wait_budget: float
) -> PlannedAttempt | Failure:
    """Return the next plan within `wait_budget` seconds of waiting, or the failure for the caller."""
    final = [attempt.failure for attempt in failed_attempts if step_after(attempt.failure) is NextStep.GIVE_UP]
    if final:
        return final[0]
    options = [option for route_state in route_states if (option := _option(route_state, failed_attempts))]
    best = min(options, key=lambda option: (option.seconds, option.consecutive_failures), default=None)
    if (
        best
        and best.seconds <= wait_budget
        and sum(attempt.failure.asked for attempt in failed_attempts) < MAX_ATTEMPTS
    ):
        return PlannedAttempt(plan=best.plan, wait_seconds=best.seconds)
    return _reported_failure(route_states, failed_attempts, best)


def _option(route_state: RouteState, failed_attempts: Sequence[FailedAttempt]) -> _Option | None:
    """Return when a route may be tried; None if never by this request."""
    failures = [attempt.failure for attempt in failed_attempts if attempt.plan is route_state.plan]
    obstacles = [failure for failure in (route_state.blocked_by, *failures[-1:]) if failure]
    if any(step_after(failure) is not NextStep.LATER for failure in obstacles):
        return None
    if any(failure.asked for failure in failures) and _has_repeated(failed_attempts):
        return None
    if not obstacles:
        return _Option(route_state.plan, 0.0, 0, None)
    return _Option(route_state.plan, max(map(_wait, obstacles)), route_state.consecutive_failures, obstacles[-1])


def _has_repeated(failed_attempts: Sequence[FailedAttempt]) -> bool:
    called = [id(attempt.plan) for attempt in failed_attempts if attempt.failure.asked]
    return len(set(called)) < len(called)


def _wait(failure: Failure) -> float:
    return RETRY_SECONDS if failure.retry_after is None else max(failure.retry_after, RETRY_SECONDS)


def _reported_failure(
    route_states: Sequence[RouteState], failed_attempts: Sequence[FailedAttempt], best: _Option | None
) -> Failure:
    """Return the most useful failure: a temporary one with its end, else the first."""
    if best and best.failure:
        return replace(best.failure, retry_after=best.seconds)
    temporary = [attempt.failure for attempt in failed_attempts if step_after(attempt.failure) is NextStep.LATER]
    others = [attempt.failure for attempt in failed_attempts] + [
        route_state.blocked_by for route_state in route_states if route_state.blocked_by
    ]
    return (temporary or others)[0]
