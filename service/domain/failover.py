"""What to do next, when several backends may draw and some of them did not.

Rule: decided from what is known, by nobody's clock: who may still be asked, how long that would take, and whether it is
worth waiting for. At most `MAX_ATTEMPTS` calls are made for one order, of which one is the same call again; nothing
that may have been billed, and nothing that would fail the same way elsewhere, is asked for again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from service.domain.errors import Failure
from service.domain.routing import NextStep, Plan, step_after

MAX_ATTEMPTS = 3
RETRY_SECONDS = 0.5  # before a backend is asked again that does not say when


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedAttempt:
    """A plan that was tried, or put off, and what came of it."""

    plan: Plan
    failure: Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedAttempt:
    """Go along this plan, after so many seconds."""

    plan: Plan
    wait_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteState:
    """A plan, what is in its way just now, if anything is, and how many calls in a row failed there."""

    plan: Plan
    blocked_by: Failure | None = None
    consecutive_failures: int = 0


@dataclass(frozen=True, slots=True)
class _Option:
    """A route that may still deliver. Among equals the one with fewer `consecutive_failures` is tried first."""

    plan: Plan
    seconds: float
    consecutive_failures: int
    failure: Failure | None


def next_step(
    route_states: Sequence[RouteState], failed_attempts: Sequence[FailedAttempt], wait_budget: float
) -> PlannedAttempt | Failure:
    """The next plan to go along, within so many seconds of patience; else the failure that the caller is told."""
    final = [attempt.failure for attempt in failed_attempts if step_after(attempt.failure) is NextStep.GIVE_UP]
    if final:
        return final[0]
    options = [option for route_state in route_states if (option := _option(route_state, failed_attempts))]
    best = min(options, key=lambda hope: (hope.seconds, hope.consecutive_failures), default=None)  # of equals the first
    if best and best.seconds <= wait_budget and sum(each.failure.asked for each in failed_attempts) < MAX_ATTEMPTS:
        return PlannedAttempt(plan=best.plan, wait_seconds=best.seconds)
    return _reported_failure(route_states, failed_attempts, best)


def _option(route_state: RouteState, failed_attempts: Sequence[FailedAttempt]) -> _Option | None:
    """When a way may be gone; None if never by this request."""
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
    asked = [id(attempt.plan) for attempt in failed_attempts if attempt.failure.asked]
    return len(set(asked)) < len(asked)


def _wait(failure: Failure) -> float:
    return RETRY_SECONDS if failure.retry_after is None else max(failure.retry_after, RETRY_SECONDS)


def _reported_failure(
    route_states: Sequence[RouteState], failed_attempts: Sequence[FailedAttempt], best: _Option | None
) -> Failure:
    """The failure that says most: one that passes, and when; else the first."""
    if best and best.failure:
        return replace(best.failure, retry_after=best.seconds)
    temporary = [attempt.failure for attempt in failed_attempts if step_after(attempt.failure) is NextStep.LATER]
    others = [each.failure for each in failed_attempts] + [
        route_state.blocked_by for route_state in route_states if route_state.blocked_by
    ]
    return (temporary or others)[0]
