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
    wait: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteState:
    """A plan, what is in its way just now, if anything is, and how many calls in a row failed there."""

    plan: Plan
    hindrance: Failure | None = None
    streak: int = 0


@dataclass(frozen=True, slots=True)
class _Option:
    """A way that may yet lead somewhere: in so many seconds, or, if it failed, why. `doubt` decides between equals."""

    plan: Plan
    seconds: float
    doubt: int
    failure: Failure | None


def next_step(ways: Sequence[RouteState], tried: Sequence[FailedAttempt], patience: float) -> PlannedAttempt | Failure:
    """The next plan to go along, within so many seconds of patience; else the failure that the caller is told."""
    final = [each.failure for each in tried if step_after(each.failure) is NextStep.GIVE_UP]
    if final:
        return final[0]
    hopes = [hope for way in ways if (hope := _option(way, tried))]
    best = min(hopes, key=lambda hope: (hope.seconds, hope.doubt), default=None)  # of equals the first
    if best and best.seconds <= patience and sum(each.failure.asked for each in tried) < MAX_ATTEMPTS:
        return PlannedAttempt(plan=best.plan, wait=best.seconds)
    return _reported_failure(ways, tried, best)


def _option(way: RouteState, tried: Sequence[FailedAttempt]) -> _Option | None:
    """When a way may be gone; None if never by this request."""
    failures = [each.failure for each in tried if each.plan is way.plan]
    in_the_way = [failure for failure in (way.hindrance, *failures[-1:]) if failure]
    if any(step_after(failure) is not NextStep.LATER for failure in in_the_way):
        return None
    if any(failure.asked for failure in failures) and _has_repeated(tried):
        return None
    if not in_the_way:
        return _Option(way.plan, 0.0, 0, None)
    return _Option(way.plan, max(map(_wait, in_the_way)), way.streak, in_the_way[-1])


def _has_repeated(tried: Sequence[FailedAttempt]) -> bool:
    asked = [id(each.plan) for each in tried if each.failure.asked]
    return len(set(asked)) < len(asked)


def _wait(failure: Failure) -> float:
    return RETRY_SECONDS if failure.retry_after is None else max(failure.retry_after, RETRY_SECONDS)


def _reported_failure(ways: Sequence[RouteState], tried: Sequence[FailedAttempt], best: _Option | None) -> Failure:
    """The failure that says most: one that passes, and when; else the first."""
    if best and best.failure:
        return replace(best.failure, retry_after=best.seconds)
    passing = [each.failure for each in tried if step_after(each.failure) is NextStep.LATER]
    others = [each.failure for each in tried] + [way.hindrance for way in ways if way.hindrance]
    return (passing or others)[0]
