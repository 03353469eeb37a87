"""Circuit breakers and blocked accounts: every signal, every change of state, and changes that no call may cause."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.circuit_breaker import (
    SIGNALS,
    BreakerRules,
    BreakerState,
    CircuitBreaker,
    Opening,
    Probe,
    Signal,
    block_seconds_after,
    block_seconds_for,
    blocked_until,
    close_breaker,
    credentials_changed,
    current_state,
    half_open,
    is_probed,
    is_shared,
    merge_shared_opening,
    open_breaker,
    record_outcome,
    to_signal,
    trip,
    with_probe,
)
from service.domain.errors import Failure, FailureKind
from service.domain.generation import CallOutcome
from service.domain.vendor_rate_limits import RateLimit
from tests.fakes.builders import build_generation, failure

RULES = BreakerRules()
GOOD = build_generation()
BAD = failure(FailureKind.OVERLOADED)
BY_SIGN = {sign: {kind for kind in FailureKind if SIGNALS[kind] is sign} for sign in Signal}


def after(
    *outcomes: CallOutcome, health: CircuitBreaker | None = None, now: float = 0.0, rules: BreakerRules = RULES
) -> CircuitBreaker:
    """Record consecutive calls at one time."""
    health = health or CircuitBreaker()
    for outcome in outcomes:
        health = record_outcome(health, outcome, health.epoch, now, rules)
    return health


def test_every_failure_has_a_sign() -> None:
    assert SIGNALS.keys() == set(FailureKind)
    assert BY_SIGN[Signal.GOOD] == set()
    assert BY_SIGN[Signal.ACCOUNT] == {FailureKind.AUTH_FAILED, FailureKind.QUOTA_EXHAUSTED}
    assert BY_SIGN[Signal.BAD] == {
        FailureKind.UNREACHABLE,
        FailureKind.OVERLOADED,
        FailureKind.SERVER_ERROR,
        FailureKind.TIMED_OUT,
        FailureKind.BROKEN_REPLY,
    }


def test_a_picture_is_a_good_sign_and_who_was_not_asked_gives_none() -> None:
    assert to_signal(GOOD) is Signal.GOOD
    for kind in FailureKind:
        assert to_signal(failure(kind)) is SIGNALS[kind]
        assert to_signal(replace(failure(kind), asked=False)) is Signal.NONE


@pytest.mark.parametrize("kind", sorted(BY_SIGN[Signal.NONE]))
def test_what_says_nothing_moves_nothing(kind: FailureKind) -> None:
    crowd: list[CallOutcome] = [failure(kind)] * 1000
    assert after(*crowd) == CircuitBreaker()
    assert after(*[BAD] * 4, *crowd, BAD).opening
    half_open = after(failure(FailureKind.AUTH_FAILED))
    assert after(*crowd, health=half_open, now=60) == half_open


@pytest.mark.parametrize("kind", sorted(BY_SIGN[Signal.BAD]))
def test_consecutive_failures_open_it_however_far_apart(kind: FailureKind) -> None:
    health = CircuitBreaker()
    for number in range(5):
        assert current_state(health, number * 300.0) is BreakerState.CLOSED
        health = after(failure(kind), health=health, now=number * 300.0)
    assert health == CircuitBreaker(epoch=1, since=1200, local=Opening(reason=kind, until=1205))
    assert current_state(health, 1204.9) is BreakerState.OPEN
    assert current_state(health, 1205) is BreakerState.HALF_OPEN


def test_a_picture_in_between_ends_the_row() -> None:
    health = after(*[BAD] * 4, GOOD, GOOD, GOOD, GOOD, *[BAD] * 4, rules=BreakerRules(min_calls=100))
    assert (health.opening, health.consecutive_failures) == (None, 4)


def test_a_share_of_failures_opens_it_once_there_are_calls_enough() -> None:
    alternating: list[CallOutcome] = [GOOD, BAD] * 4
    assert after(*alternating, GOOD).opening is None
    assert after(*alternating, GOOD, BAD).opening
    assert after(*[GOOD] * 6, *[BAD] * 4).opening is None
    assert after(*[BAD] * 4, *[GOOD] * 6).opening is None


def test_only_the_window_counts() -> None:
    rules = BreakerRules(consecutive_failures=100, min_calls=4)
    early = after(GOOD, GOOD, GOOD, health=after(BAD, rules=rules), now=2.0, rules=rules)
    assert [(slot.number, slot.calls, slot.failures) for slot in early.slices] == [(0, 4, 1)]
    assert after(BAD, BAD, BAD, health=early, now=29.0, rules=rules).opening
    later = after(BAD, BAD, BAD, health=early, now=30.0, rules=rules)
    assert later.opening is None
    assert [(slot.number, slot.calls, slot.failures) for slot in later.slices] == [(10, 3, 3)]
    assert after(BAD, health=later, now=30.0, rules=rules).opening


def test_a_window_holds_few_slots_whatever_the_traffic() -> None:
    health = CircuitBreaker()
    for number in range(5000):
        health = after(GOOD, health=health, now=number / 10)
    assert len(health.slices) == 10
    assert sum(slot.calls for slot in health.slices) == 9 * 30 + 20  # the last one is not over


@pytest.mark.parametrize("kind", sorted(BY_SIGN[Signal.ACCOUNT]))
def test_a_refused_account_opens_it_at_once_and_for_long(kind: FailureKind) -> None:
    health = after(failure(kind), now=7)
    assert health == CircuitBreaker(epoch=1, since=7, account=Opening(reason=kind, until=67))
    assert after(failure(kind), health=health, now=70).opening == Opening(reason=kind, until=130, openings=2)


def test_every_probe_that_fails_but_the_first_doubles_the_time_up_to_a_bound() -> None:
    health, seconds = after(*[BAD] * 5), []
    for _ in range(6):
        assert health.opening
        now = health.opening.until
        seconds.append(now - health.since)
        health = after(BAD, health=health, now=now)
    assert seconds == [5, 5, 10, 20, 40, 60]
    endless = replace(health, local=Opening(reason=BAD.kind, until=0, openings=10_000))
    assert open_breaker(endless, BAD.kind, 0, RULES).opening == Opening(reason=BAD.kind, until=60, openings=10_001)


def test_a_probe_that_brings_a_picture_closes_it_and_all_is_forgotten() -> None:
    health = after(GOOD, health=after(*[BAD] * 5), now=5)
    assert health == CircuitBreaker(epoch=2, since=5)
    again = after(*[BAD] * 5, health=health, now=6)
    assert again.opening == Opening(reason=BAD.kind, until=11)


@pytest.mark.parametrize("outcome", [GOOD, BAD, failure(FailureKind.AUTH_FAILED)])
def test_calls_of_an_earlier_era_do_not_count(outcome: CallOutcome) -> None:
    open_now = after(*[BAD] * 5)
    assert record_outcome(open_now, outcome, 0, 1, RULES) == open_now
    closed_again = close_breaker(open_now, 9)
    for era in (0, 1):
        assert record_outcome(closed_again, outcome, era, 9, RULES) == closed_again


OURS, DOWN = Opening(reason=FailureKind.AUTH_FAILED, until=60), Opening(reason=BAD.kind, until=90, openings=3)
SHARED = Opening(reason=FailureKind.QUOTA_EXHAUSTED, until=70)
FROM_BEFORE = Opening(reason=FailureKind.UNREACHABLE, until=80)  # as a replica of the version before shares it


@pytest.mark.parametrize("local", [None, DOWN])
@pytest.mark.parametrize(
    ("account", "shared", "becomes"),
    [
        (None, None, None),
        (None, SHARED, SHARED),
        (None, FROM_BEFORE, None),
        (OURS, None, None),
        (OURS, SHARED, SHARED),
        (OURS, FROM_BEFORE, None),
    ],
)
def test_what_others_share_changes_the_account_opening_and_never_the_local_one(
    local: Opening | None, account: Opening | None, shared: Opening | None, becomes: Opening | None
) -> None:
    busy = CircuitBreaker(
        epoch=4, local=local, account=account, probe=Probe(name="t1", until=5), consecutive_failures=2
    )
    changed = merge_shared_opening(busy, shared, 2)
    if account is becomes is None:
        assert changed == busy
    else:
        assert changed == CircuitBreaker(
            epoch=5, since=2, local=local, account=becomes, probe=busy.probe if local else None
        )


@pytest.mark.parametrize("kind", FailureKind)
def test_only_an_opening_for_the_account_is_shared(kind: FailureKind) -> None:
    assert is_shared(kind) == (SIGNALS[kind] is Signal.ACCOUNT)


def test_of_both_openings_the_longer_one_counts() -> None:
    assert CircuitBreaker(local=DOWN).opening == DOWN
    assert CircuitBreaker(account=OURS).opening == OURS
    assert CircuitBreaker(local=DOWN, account=OURS).opening == DOWN
    assert CircuitBreaker(local=replace(DOWN, until=50), account=OURS).opening == OURS


def test_a_probe_that_does_not_reach_the_vendor_leaves_the_account_opening() -> None:
    changed = after(BAD, health=CircuitBreaker(account=OURS), now=60)
    assert (changed.account, changed.local) == (OURS, Opening(reason=BAD.kind, until=65, openings=2))


def test_a_picture_ends_both_openings() -> None:
    assert after(GOOD, health=CircuitBreaker(local=DOWN, account=OURS), now=90) == CircuitBreaker(epoch=1, since=90)


def test_one_probes_until_its_lease_is_over() -> None:
    health = with_probe(after(*[BAD] * 5), Probe(name="t1", until=20))
    assert is_probed(health, 19.9)
    assert not is_probed(health, 20)
    assert not is_probed(with_probe(health, None), 0)
    assert after(BAD, health=health, now=10).probe is None


def test_a_vendor_that_answers_may_be_tried_at_once_but_is_not_well() -> None:
    health = after(*[BAD] * 5)
    changed = half_open(health, 2)
    assert (current_state(changed, 2), changed.epoch) == (BreakerState.HALF_OPEN, health.epoch)
    assert half_open(changed, 3) == changed
    assert half_open(CircuitBreaker(), 3) == CircuitBreaker()
    assert current_state(half_open(after(failure(FailureKind.AUTH_FAILED)), 2), 2) is BreakerState.HALF_OPEN


def test_an_account_without_credit_is_not_revived_by_what_is_free() -> None:
    health = after(failure(FailureKind.QUOTA_EXHAUSTED))
    assert half_open(health, 2) == health
    both = replace(health, local=DOWN)
    assert half_open(both, 2) == replace(both, local=replace(DOWN, until=2))


@pytest.mark.parametrize("kind", [FailureKind.AUTH_FAILED, FailureKind.QUOTA_EXHAUSTED])
def test_another_key_is_tried_at_once_and_calls_with_the_one_before_no_longer_count(kind: FailureKind) -> None:
    before = with_probe(after(failure(kind)), Probe(name="t1", until=20))
    health = credentials_changed(before, 2)
    assert (current_state(health, 2), health.probe) == (BreakerState.HALF_OPEN, None)
    assert record_outcome(health, failure(kind), before.epoch, 3, RULES) == health
    assert credentials_changed(health, 9).opening == health.opening


def test_another_key_mends_no_vendor() -> None:
    health = after(*[BAD] * 5)
    assert credentials_changed(health, 2).opening == health.opening
    ailing = credentials_changed(after(*[BAD] * 4), 2)
    assert current_state(after(BAD, health=ailing, now=2), 2) is BreakerState.OPEN


def test_a_refusal_that_was_found_out_opens_it_for_that_reason() -> None:
    auth = FailureKind.AUTH_FAILED
    changed = trip(CircuitBreaker(), auth, 0, RULES)
    assert changed.opening == Opening(reason=auth, until=60)
    assert trip(changed, auth, 59, RULES) == replace(changed, account=Opening(reason=auth, until=119))
    assert trip(changed, auth, 60, RULES).opening == Opening(reason=auth, until=120, openings=2)
    assert trip(after(*[BAD] * 5), auth, 1, RULES).opening == Opening(reason=auth, until=61, openings=2)


@pytest.mark.parametrize(
    ("outcome", "seconds"),
    [
        (GOOD, 0),
        (BAD, 0),
        (Failure(kind=FailureKind.OVERLOADED, message="", retry_after=9), 0),
        (Failure(kind=FailureKind.RATE_LIMITED, message=""), 1),
        (Failure(kind=FailureKind.RATE_LIMITED, message="", retry_after=9), 9),
        (Failure(kind=FailureKind.RATE_LIMITED, message="", retry_after=0), 0),
        (Failure(kind=FailureKind.RATE_LIMITED, message="", retry_after=9, asked=False), 0),
    ],
)
def test_an_account_at_its_limit_is_blocked(outcome: CallOutcome, seconds: float) -> None:
    assert block_seconds_after(outcome) == seconds


@pytest.mark.parametrize(
    ("left", "resets", "seconds"), [(1, 30.0, 0), (0, 30.0, 30), (0, None, 1), (-1, 30.0, 30), (0, 0.0, 0)]
)
def test_a_used_up_account_is_blocked(left: int, resets: float | None, seconds: float) -> None:
    assert block_seconds_for(RateLimit(measure="images", remaining=left, resets_in=resets)) == seconds


@pytest.mark.parametrize(
    ("known", "seconds", "until"),
    [
        (100, 30, 130),
        (150, 30, 150),
        (100, 0, 100),
        (100, -5, 100),
        (100, 1e9, 3700),
        (100, math.inf, 3700),
        (100, -math.inf, 100),
        (100, math.nan, 100),
    ],
)
def test_peace_is_never_shorter_than_was_known_and_never_absurd(known: float, seconds: float, until: float) -> None:
    assert blocked_until(known, seconds, 100, RULES) == until


STEPS = st.lists(
    st.tuples(
        st.sampled_from([GOOD, *map(failure, FailureKind)]),
        st.sampled_from([0.0, 0.5, 3.0, 31.0, 61.0]),
        st.booleans(),
    ),
    max_size=60,
)


@given(STEPS)
def test_whatever_comes_it_opens_for_a_reason_and_closes_by_a_picture(
    steps: list[tuple[CallOutcome, float, bool]],
) -> None:
    health, now = CircuitBreaker(), 0.0
    for outcome, seconds, is_late in steps:
        now += seconds
        changed = record_outcome(health, outcome, health.epoch - is_late, now, RULES)
        if changed.epoch != health.epoch:
            assert not is_late
            assert (changed.opening is None) == (outcome is GOOD)
            assert changed.epoch == health.epoch + 1
        if changed.opening and changed.opening is not health.opening:
            assert now < changed.opening.until <= now + RULES.max_open_seconds
            assert SIGNALS[changed.opening.reason] in {Signal.BAD, Signal.ACCOUNT}
        health = changed
