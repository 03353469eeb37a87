"""Events, and what a scrape says of them: read by Prometheus's own parser, and found good by its own tool."""

import subprocess
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics import parser
from prometheus_client.parser import text_string_to_metric_families as read_text

from service.adapters.metrics.declared import ALL
from service.adapters.metrics.expose import Exposition, process_registry
from service.adapters.metrics.observer import BREAKERS, FLIGHT_RESULTS, MetricsObserver
from service.domain.circuit_breaker import BreakerState
from service.domain.errors import FailureKind
from service.domain.ledger import Basis, Entry, EntryStatus
from service.domain.quota_limits import TEAM, Limit, LimitStatus, Measure
from service.domain.request_labels import ApiOperation, Outcome, RequestLabels
from service.domain.state_snapshot import Backlog, KeyExpiry, StateSnapshot
from service.usecases.ports.events import (
    AttemptFinished,
    BreakerChanged,
    CacheFailed,
    CountersRebuilt,
    Crashed,
    EmbeddedStoreRestarted,
    EntriesWritten,
    EntryPosted,
    FileListOutdated,
    FlightResolved,
    GaugesCollected,
    HoldExpired,
    HoldVoided,
    ImagesDeleted,
    ImageStoreFailed,
    InFlightChanged,
    LedgerOutageEnded,
    LedgerOutageStarted,
    Listening,
    LogLineLost,
    LoopLagged,
    ModelShutdownWarning,
    PoolerDetected,
    ProcessFailing,
    QuoteExceeded,
    RateLimitObserved,
    RequestFinished,
    SecretRejected,
    SecretReloaded,
    SettingsReloaded,
    SettlementDelayed,
    StoreMemoryMeasured,
    StoreUnsafe,
    StoreUnusable,
    StoreUsable,
    WaitingForDatabase,
    WaitingForLease,
)
from service.usecases.ports.flights import Role
from service.usecases.ports.observer import Event, ObserverGroup
from tests.fakes.observer import Recorder

THEN = 1_795_262_400.0
DAY, MONTH = Limit(TEAM, Measure.DAY, 2_000_000_000), Limit("tier:high", Measure.MONTH, 3_000_000_000)


def metrics() -> MetricsObserver:
    return MetricsObserver(version="1.2.3", python="3.11.7", now=lambda: THEN)


def scraped(seen: MetricsObserver, accept: str = "") -> str:
    body, _ = Exposition(seen, process_registry()).render(accept)
    return body.decode()


def values(seen: MetricsObserver) -> dict[tuple[str, frozenset[str]], float]:
    """What a scrape says: the number of each name and set of label values."""
    return {
        (sample.name.removeprefix("gateway_"), frozenset(sample.labels.values())): sample.value
        for family in read_text(scraped(seen))
        for sample in family.samples
    }


def read_openmetrics(text: str) -> list[Metric]:
    return [*parser.text_string_to_metric_families(text)]  # type: ignore[no-untyped-call]  # it has no types


def value(seen: MetricsObserver, name: str, *labels: str) -> float | None:
    return values(seen).get((name, frozenset(labels)))


def request(**changes: object) -> RequestFinished:
    event = RequestFinished(
        request_id="req_1",
        method="POST",
        path="/v1/images/generations",
        status=200,
        milliseconds=2600,
        bytes_out=700,
        log_fields={},
        team="search",
        operation=ApiOperation.GENERATE,
        labels=RequestLabels(model="painter", tier="high", backend="alpha", cache="hit"),
    )
    return replace(event, **changes)  # type: ignore[arg-type]  # whatever a test wants otherwise


def entry(**changes: object) -> Entry:
    plain = Entry(
        hold_id="h",
        request_id="req_1",
        team="search",
        key="search-1",
        operation="generate",
        model="painter",
        backend="alpha",
        upstream_model="alpha/painter",
        price_version="2026",
        output_format="png",
        n=2,
        cost=123_456_789,
        basis=Basis.USAGE,
        status=EntryStatus.DELIVERED,
        tier=None,
        resolved_tier="high",
        size="1536x1024",
        text_in=10,
        text_cached=4,
        image_out=300,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]  # whatever a test wants otherwise


def readings(**changes: object) -> GaugesCollected:
    plain = StateSnapshot(
        taken_at=THEN,
        teams=("search", "ads"),
        backlog=Backlog(
            open_holds={"search": 2},
            held_amounts={"search": 500_000_000},
            outbox_entries=3,
            oldest_posted_at=THEN - 7,
            pending_settlements=1,
        ),
        budgets={
            "search": (
                LimitStatus(limit=DAY, used=2_500_000_000, resets_in=9),
                LimitStatus(limit=MONTH, used=1, resets_in=9),
            )
        },
        key_expiries=(KeyExpiry(team="search", key="k1", expires_at=datetime(2026, 12, 1, tzinfo=UTC)),),
        shutdowns={"painter": date(2026, 12, 1)},
        model_names={("alpha", "alpha/painter"): "painter"},
        version="abc",
    )
    return GaugesCollected(snapshot=replace(plain, **changes))  # type: ignore[arg-type]  # likewise


def attempt(failure: FailureKind | None = None) -> AttemptFinished:
    return AttemptFinished(request_id="req_1", backend="alpha", model="alpha/painter", seconds=12, failure=failure)


EVENTS: tuple[Event, ...] = (
    Listening(address="http://x", backends=("alpha",)),
    request(first_preview_seconds=1.5),
    request(
        outcome=Outcome.LIMITED,
        labels=RequestLabels(model="painter"),
        refused_limit=Limit("key:k1", Measure.REQUESTS, 1),
    ),
    attempt(),
    InFlightChanged(backend="alpha", images=3),
    EntryPosted(entry=entry()),
    EntryPosted(entry=entry(basis=Basis.CACHE, cost=0, saved=40_000_000)),
    HoldVoided(team="search"),
    HoldExpired(team="search", booked=True),
    EntriesWritten(count=3),
    LedgerOutageStarted(waiting=1, reason="away"),
    LedgerOutageEnded(waiting=1),
    BreakerChanged(backend="alpha", state=BreakerState.OPEN, reason=FailureKind.TIMED_OUT, open_seconds=9),
    RateLimitObserved(backend="alpha", model="alpha/painter", measure="images", remaining=1, limit=4),
    FlightResolved(role=Role.LEADER),
    CacheFailed(),
    SettingsReloaded(problem=None),
    SecretRejected(secret="URL_SIGNING_KEY_FILE", problem="is empty"),
    SecretReloaded(secret="URL_SIGNING_KEY_FILE", file="/run/key"),
    readings(),
    LoopLagged(lag_seconds=0.003),
    ImagesDeleted(count=4),
    FileListOutdated(reason="away"),
    ImageStoreFailed(request_id="req_1", reason="full"),
    SettlementDelayed(hold_id="h", team="search"),
    QuoteExceeded(request_id="req_1", model="painter", backend="alpha", quote=1, cost=2),
    CountersRebuilt(team="search"),
    Crashed(request_id="req_1", error="KeyError", trace=()),
    ProcessFailing(reason="r"),
    WaitingForLease(holder="h", since="s"),
    WaitingForDatabase(problem="p", max_wait_seconds=30.0),
    PoolerDetected(database="PostgreSQL at a local socket"),
    EmbeddedStoreRestarted(folder="data/valkey", exit_code=-9, restarts=1),
    StoreMemoryMeasured(ratio=0.5),
    StoreUnsafe(store="REDIS_URL", problem="p", advice="a"),
    StoreUnusable(store="REDIS_URL", problem="p"),
    StoreUsable(store="REDIS_URL"),
    ModelShutdownWarning(problem="models.yaml: $.models.old.shutdown_date: ended on 2026-12-01"),
    LogLineLost(),
)


def everything() -> MetricsObserver:
    """A gateway to which everything has happened once."""
    seen = metrics()
    for event in EVENTS:
        seen.record(event)
    return seen


def test_every_counted_event_is_here() -> None:
    assert metrics().counted_types() <= {type(event) for event in EVENTS}


def test_pictures_in_hand_come_and_go() -> None:
    seen = metrics()
    assert value(seen, "images_in_flight", "alpha") is None
    seen.record(Listening(address="http://x", backends=("alpha", "beta")))
    for backend, pictures in (("alpha", 4), ("beta", 1), ("alpha", 2), ("alpha", -4)):
        seen.record(InFlightChanged(backend=backend, images=pictures))
    assert [value(seen, "images_in_flight", backend) for backend in ("alpha", "beta")] == [2, 1]


def test_several_observers_are_told() -> None:
    one, other = Recorder(), Recorder()
    ObserverGroup(one, other).record(CacheFailed())
    assert one.events == other.events == [CacheFailed()]


def test_a_request_is_counted_under_its_marks() -> None:
    seen = everything()
    assert value(seen, "requests_total", "search", "generate", "painter", "high", "served", "hit") == 1
    assert value(seen, "request_duration_seconds_bucket", "generate", "painter", "high", "hit", "2.5") == 0
    assert value(seen, "request_duration_seconds_bucket", "generate", "painter", "high", "hit", "5.0") == 1
    assert value(seen, "request_duration_seconds_count", "generate", "painter", "high", "hit") == 1
    assert value(seen, "request_duration_seconds_sum", "generate", "painter", "high", "hit") == 2.6
    assert value(seen, "time_to_first_partial_seconds_sum", "painter", "alpha") == 1.5
    assert value(seen, "cache_results_total", "hit") == 1
    assert value(seen, "cache_bytes_served_total", "hit") == 700


def test_a_limit_is_counted_without_its_key() -> None:
    seen = everything()
    assert value(seen, "limit_refusals_total", "search", "key", "requests_per_minute") == 1
    seen.record(request(outcome=Outcome.LIMITED, refused_limit=MONTH))
    assert value(seen, "limit_refusals_total", "search", "tier:high", "usd_per_month") == 1


def test_probes_are_not_counted() -> None:
    seen = metrics()
    before = values(seen).keys()
    seen.record(request(operation=ApiOperation.HEALTH, labels=RequestLabels()))
    assert values(seen).keys() == before


def test_what_is_booked_is_what_is_counted() -> None:
    seen = everything()
    assert value(seen, "cost_usd_total", "search", "high", "painter", "alpha", "usage") == 0.123456789
    assert value(seen, "images_total", "search", "painter", "alpha", "high", "2mp", "generate") == 2
    assert value(seen, "tokens_total", "painter", "alpha", "text_in") == 6
    assert value(seen, "tokens_total", "painter", "alpha", "text_cached") == 4
    assert value(seen, "tokens_total", "painter", "alpha", "image_out") == 300
    assert value(seen, "tokens_total", "painter", "alpha", "text_out") is None
    assert value(seen, "holds_total", "posted") == 2


def test_money_is_exact_however_often_it_is_added_up() -> None:
    seen = metrics()
    for _ in range(100_000):
        seen.record(EntryPosted(entry=entry(cost=1)))
    assert value(seen, "cost_usd_total", "search", "high", "painter", "alpha", "usage") == 0.0001


def test_what_the_cache_served_is_saved_and_not_bought() -> None:
    seen = metrics()
    seen.record(EntryPosted(entry=entry(basis=Basis.CACHE, cost=0, saved=40_000_000)))
    assert value(seen, "saved_usd_total", "search", "painter", "high") == 0.04
    assert value(seen, "images_total", "search", "painter", "alpha", "high", "2mp", "generate") is None


def test_what_nobody_confirmed_is_counted_apart() -> None:
    seen = metrics()
    assert value(seen, "uncertain_usd_total", "unconfirmed") == 0
    lost = entry(basis=Basis.UNCONFIRMED, status=EntryStatus.LOST, resolved_tier=None)
    seen.record(EntryPosted(entry=lost))
    seen.record(HoldExpired(team="search", booked=True))
    seen.record(HoldExpired(team="search", booked=False))
    assert value(seen, "uncertain_usd_total", "unconfirmed") == 0.123456789
    assert value(seen, "cost_usd_total", "search", "", "painter", "alpha", "unconfirmed") == 0.123456789
    ends = ("posted", "voided", "expired_booked", "expired_voided")
    assert [value(seen, "holds_total", end) for end in ends] == [0, 0, 1, 1]


def test_backends_are_counted_by_the_catalogs_names() -> None:
    seen = metrics()
    seen.record(attempt())
    assert value(seen, "upstream_attempts_total", "alpha", "alpha/painter", "delivered") == 1
    seen.record(readings())
    seen.record(attempt(FailureKind.TIMED_OUT))
    seen.record(RateLimitObserved(backend="alpha", model="alpha/painter", measure="images", remaining=1, limit=4))
    seen.record(RateLimitObserved(backend="alpha", model="alpha/painter", measure="tokens", remaining=1, limit=None))
    assert value(seen, "upstream_attempts_total", "alpha", "painter", "timed_out") == 1
    assert value(seen, "upstream_duration_seconds_sum", "alpha", "painter", "timed_out") == 12
    assert value(seen, "upstream_rate_limit_remaining_ratio", "alpha", "painter", "images") == 0.25
    assert value(seen, "upstream_rate_limit_timestamp_seconds", "alpha", "painter", "images") == THEN
    assert value(seen, "upstream_rate_limit_remaining_ratio", "alpha", "painter", "tokens") is None


def breaker(state: BreakerState, reason: FailureKind | None) -> BreakerChanged:
    return BreakerChanged(backend="alpha", state=state, reason=reason, open_seconds=9)


def test_a_breaker_and_an_account_without_credit() -> None:
    seen = metrics()
    told = []
    broke = FailureKind.QUOTA_EXHAUSTED
    for event in (
        breaker(BreakerState.OPEN, FailureKind.TIMED_OUT),
        breaker(BreakerState.HALF_OPEN, FailureKind.TIMED_OUT),
        breaker(BreakerState.CLOSED, None),
        attempt(broke),
        breaker(BreakerState.OPEN, broke),
        breaker(BreakerState.HALF_OPEN, broke),
        attempt(),
    ):
        seen.record(event)
        told.append((value(seen, "breaker_state", "alpha"), value(seen, "upstream_exhausted", "alpha")))
    seen.record(Listening(address="http://x", backends=("alpha", "beta")))
    assert [value(seen, "breaker_state", backend) for backend in ("alpha", "beta")] == [1, 0]
    assert told == [(2, None), (1, None), (0, 0), (0, 1), (2, 1), (1, 1), (1, 0)]
    assert value(seen, "breaker_openings_total", "alpha", "timed_out") == 1
    assert value(seen, "breaker_openings_total", "alpha", "quota_exhausted") == 1
    assert {*BREAKERS} == {*BreakerState}
    assert {*FLIGHT_RESULTS} == {*Role} - {Role.FOLLOWER}


def test_how_things_stand() -> None:
    seen = everything()
    assert [value(seen, "open_holds", team) for team in ("search", "ads")] == [2, 0]
    assert [value(seen, "held_usd", team) for team in ("search", "ads")] == [0.5, 0]
    assert value(seen, "ledger_outbox_entries") == 3
    assert value(seen, "ledger_oldest_entry_seconds") == 7
    assert value(seen, "settlements_pending") == 1
    assert value(seen, "budget_limit_usd", "search", "day", "team") == 2
    assert value(seen, "budget_spent_usd", "search", "day", "team") == 2.5
    assert value(seen, "budget_remaining_usd", "search", "day", "team") == 0
    assert value(seen, "budget_limit_usd", "search", "month", "tier:high") == 3
    assert value(seen, "key_expiry_timestamp_seconds", "search", "k1") == datetime(2026, 12, 1, tzinfo=UTC).timestamp()
    assert value(seen, "model_shutdown_timestamp_seconds", "painter") == datetime(2026, 12, 1, tzinfo=UTC).timestamp()
    assert value(seen, "settings_info", "abc") == 1
    assert value(seen, "gauges_collected_timestamp_seconds") == THEN
    assert value(seen, "event_loop_lag_seconds_sum") == 0.003


def test_what_is_gone_is_not_told_any_more() -> None:
    seen = everything()
    idle = Backlog(open_holds={}, held_amounts={}, outbox_entries=0, oldest_posted_at=None, pending_settlements=0)
    seen.record(readings(teams=("ads",), backlog=idle, key_expiries=(), shutdowns={}, version="abd", taken_at=THEN + 5))
    assert value(seen, "open_holds", "search") is value(seen, "settings_info", "abc") is None
    assert value(seen, "key_expiry_timestamp_seconds", "search", "k1") is None
    assert value(seen, "ledger_oldest_entry_seconds") == 0
    assert value(seen, "gauges_collected_timestamp_seconds") == THEN + 5


def test_budgets_that_could_not_be_read_stay_and_say_since_when() -> None:
    seen = everything()
    seen.record(readings(budgets=None, taken_at=THEN + 5))
    assert value(seen, "budget_spent_usd", "search", "day", "team") == 2.5
    assert value(seen, "gauges_collected_timestamp_seconds") == THEN


def test_reloads_and_the_books() -> None:
    seen = metrics()
    assert (value(seen, "settings_last_reload_successful"), value(seen, "settings_loaded_timestamp_seconds")) == (
        1,
        THEN,
    )
    seen.record(SettingsReloaded(problem="wrong"))
    seen.record(LedgerOutageStarted(waiting=1, reason="away"))
    assert (value(seen, "settings_last_reload_successful"), value(seen, "ledger_unavailable")) == (0, 1)
    seen.record(SettingsReloaded(problem=None))
    seen.record(LedgerOutageEnded(waiting=1))
    seen.record(EntriesWritten(count=3))
    assert (value(seen, "settings_last_reload_successful"), value(seen, "ledger_unavailable")) == (1, 0)
    assert [value(seen, "settings_reloads_total", result) for result in ("accepted", "refused")] == [1, 1]
    assert value(seen, "ledger_entries_written_total") == 3
    assert value(seen, "ledger_last_write_timestamp_seconds") == THEN


def test_all_is_read_well_once_nothing_of_it_is_refused_any_more() -> None:
    seen = metrics()
    seen.record(SecretRejected(secret="REDIS_PASSWORD_FILE", problem="is empty"))
    seen.record(SettingsReloaded(problem="wrong"))
    seen.record(SettingsReloaded(problem=None))
    seen.record(SecretReloaded(secret="ADMIN_API_KEY_FILE", file="/run/admin"))
    assert value(seen, "settings_last_reload_successful") == 0
    seen.record(SecretReloaded(secret="REDIS_PASSWORD_FILE", file="/run/redis"))
    assert value(seen, "settings_last_reload_successful") == 1
    assert [value(seen, "settings_reloads_total", result) for result in ("accepted", "refused")] == [3, 2]


def test_what_only_has_a_number_is_counted() -> None:
    seen = everything()
    names = ("settlements_delayed", "quota_rebuilds", "quotes_exceeded", "cache_errors", "crashes", "redis_warnings")
    assert [value(seen, f"{name}_total") for name in (*names, "images_not_stored")] == [1] * 7
    assert value(seen, "images_deleted_total") == 4
    assert value(seen, "holds_total", "voided") == 1
    assert value(seen, "flights_total", "led") == 1
    assert value(seen, "build_info", "1.2.3", "3.11.7") == 1


def test_everything_that_is_declared_is_told_and_nothing_else() -> None:
    text = scraped(everything())
    told = {line.split(" ")[2] for line in text.splitlines() if line.startswith("# TYPE gateway_")}
    assert told == {each.name for each in ALL}
    silent = told - {
        family.name + ("_total" if family.type == "counter" else "") for family in read_text(text) if family.samples
    }
    assert silent == set()


def test_labels_are_the_declared_ones() -> None:
    names = {each.name: {*each.labels} for each in ALL}
    for family in read_text(scraped(everything())):
        wanted = names.get(family.name + ("_total" if family.type == "counter" else ""))
        for sample in family.samples:
            assert wanted is None or {*sample.labels} - {"le"} == wanted, sample


@pytest.mark.parametrize("accept", ["", "*/*", "text/plain", "text/plain;version=0.0.4;q=0.5"])
def test_plain_text_is_told_to_whoever_asks_for_nothing_else(accept: str) -> None:
    body, media_type = Exposition(everything(), process_registry()).render(accept)
    assert media_type == "text/plain; version=0.0.4; charset=utf-8"
    assert b"# TYPE gateway_requests_total counter" in body
    assert b"\nprocess_resident_memory_bytes " in body


def test_openmetrics_is_told_to_whoever_asks_for_it() -> None:
    """As Prometheus does."""
    accept = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,*/*;q=0.1"
    body, media_type = Exposition(everything(), process_registry()).render(accept)
    assert media_type.startswith("application/openmetrics-text; version=1.0.0")
    families = {family.name: family for family in read_openmetrics(body.decode())}
    assert families["gateway_requests"].type == "counter"
    assert {name for name in families if name.startswith("gateway_")} == {
        each.name.removesuffix("_total") for each in ALL
    }


def test_any_label_can_be_spelled() -> None:
    awkward = 'a "team"\\ of\nmany'
    seen = metrics()
    seen.record(request(team=awkward))
    assert value(seen, "requests_total", awkward, "generate", "painter", "high", "served", "hit") == 1
    (family,) = (
        each
        for each in read_openmetrics(scraped(seen, "application/openmetrics-text"))
        if each.name == "gateway_requests"
    )
    assert family.samples[0].labels["team"] == awkward


def test_prometheus_finds_nothing_to_complain_of() -> None:
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=scraped(everything()), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_memory_of_a_store_without_a_bound_is_not_told() -> None:
    metrics = everything()
    metrics.record(StoreMemoryMeasured(ratio=None))
    assert "\ngateway_redis_memory_used_ratio " not in scraped(metrics)
