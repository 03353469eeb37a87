"""Declarations of all metrics, from which the gateway builds, exposes and documents them (`docs/metrics.md`).

Rule: values of a label come from the settings or from an enum. Units are base units; money is in US dollars. A counter
whose first increase raises an alert has `initial_labels`, and so starts at 0.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import product

from service.domain.pricing import NANO


class Kind(StrEnum):
    """Type of a metric in Prometheus."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)  # each metric is one object, and a key by identity
class Declared:
    """One metric.

    Attributes:
        scale: Number of counted whole units in one exposed unit, such as nano-dollars in a dollar.
        initial_labels: Series that have the value 0 from the first scrape.
        aggregate: PromQL function that combines the values of replicas.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    scale: int = 1
    initial_labels: tuple[tuple[str, ...], ...] = ()
    aggregate: str = "sum"


REQUEST_BUCKETS = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0, 300.0)
CALL_BUCKETS = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0, 300.0)
LAG_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

NO_LABELS: tuple[tuple[str, ...], ...] = ((),)
MAX = "max"


def combinations(*values: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """Return all combinations of label values."""
    return tuple(product(*values))


def counter(
    name: str, text: str, *labels: str, scale: int = 1, initial_labels: tuple[tuple[str, ...], ...] = ()
) -> Declared:
    """Declare a number that only grows. Without labels it has the value 0 from the first scrape."""
    return Declared(
        name=name,
        kind=Kind.COUNTER,
        help=text,
        labels=labels,
        scale=scale,
        initial_labels=initial_labels if labels else NO_LABELS,
    )


def gauge(name: str, text: str, *labels: str, scale: int = 1, aggregate: str = "sum") -> Declared:
    """Declare a number that can rise and fall."""
    return Declared(name=name, kind=Kind.GAUGE, help=text, labels=labels, scale=scale, aggregate=aggregate)


def histogram(name: str, text: str, *labels: str, buckets: tuple[float, ...]) -> Declared:
    """Declare a distribution of durations; `buckets` are upper bounds in seconds."""
    return Declared(name=name, kind=Kind.HISTOGRAM, help=text, labels=labels, buckets=buckets)


REQUESTS = counter(
    "gateway_requests_total",
    "Answered requests without health checks and scrapes. A broken stream counts with the outcome that broke it.",
    *("team", "operation", "model", "tier", "outcome", "cache"),
)
REQUEST_SECONDS = histogram(
    "gateway_request_duration_seconds",
    "Duration from the first byte of the request to the last byte of the response; "
    "cache is none where no image was served.",
    *("operation", "model", "tier", "cache"),
    buckets=REQUEST_BUCKETS,
)
FIRST_PARTIAL_SECONDS = histogram(
    "gateway_time_to_first_partial_seconds",
    "Duration from the request to its first preview; the backend is empty if no image followed.",
    *("model", "backend"),
    buckets=REQUEST_BUCKETS,
)
REFUSALS = counter(
    "gateway_limit_refusals_total",
    "Requests refused by a limit; scope is team, key, or a model or tier by name.",
    *("team", "scope", "limit"),
)
ATTEMPTS = counter(
    "gateway_upstream_attempts_total",
    "Finished backend calls; outcome is delivered or the kind of failure.",
    *("backend", "model", "outcome"),
)
ATTEMPT_SECONDS = histogram(
    "gateway_upstream_duration_seconds",
    "Duration of backend calls.",
    "backend",
    "model",
    "outcome",
    buckets=CALL_BUCKETS,
)
IN_FLIGHT = gauge("gateway_images_in_flight", "Images that backends are generating for this replica.", "backend")
BREAKER = gauge(
    "gateway_breaker_state",
    "State of the circuit breaker: 0 closed, 1 half-open, 2 open.",
    "backend",
    aggregate=MAX,
)
OPENINGS = counter(
    "gateway_breaker_openings_total",
    "Openings of a backend's circuit breaker seen by this replica, by reason.",
    *("backend", "reason"),
)
RATE_LIMIT_LEFT = gauge(
    "gateway_upstream_rate_limit_remaining_ratio",
    "Remaining share of a rate limit of the account, as last reported by the vendor.",
    *("backend", "model", "measure"),
    aggregate="min",
)
RATE_LIMIT_AT = gauge(
    "gateway_upstream_rate_limit_timestamp_seconds",
    "Time of the vendor's last report.",
    *("backend", "model", "measure"),
    aggregate=MAX,
)
EXHAUSTED = gauge(
    "gateway_upstream_exhausted", "1 while the account has no credit, as far as known.", "backend", aggregate=MAX
)
IMAGES = counter(
    "gateway_images_total",
    "Generated and delivered images, by the delivered tier. Cache hits are not included.",
    *("team", "model", "backend", "tier", "size_class", "operation"),
)
COST = counter(
    "gateway_cost_usd_total",
    "Cost of posted entries, as in the ledger.",
    *("team", "tier", "model", "backend", "basis"),
    scale=NANO,
)
UNCERTAIN = counter(
    "gateway_uncertain_usd_total",
    "Part of the posted cost that no vendor has confirmed.",
    "basis",
    scale=NANO,
    initial_labels=combinations(("estimated", "unconfirmed")),
)
SAVED = counter(
    "gateway_saved_usd_total",
    "Cost avoided by cache hits, joined and replayed requests.",
    *("team", "model", "tier"),
    scale=NANO,
)
TOKENS = counter(
    "gateway_tokens_total",
    "Tokens as counted by vendors. The kinds are disjoint: cached tokens are not in text_in or image_in.",
    *("model", "backend", "kind"),
)
QUOTES_EXCEEDED = counter(
    "gateway_quotes_exceeded_total", "Calls that cost more than their hold, because a price is too low."
)
HOLDS = counter(
    "gateway_holds_total",
    "Ended holds, by end.",
    "end",
    initial_labels=combinations(("posted", "voided", "expired_booked", "expired_voided")),
)
OPEN_HOLDS = gauge("gateway_open_holds", "Holds that have not ended.", "team")
HELD = gauge("gateway_held_usd", "Amount of open holds.", "team", scale=NANO)
PENDING_SETTLEMENTS = gauge("gateway_settlements_pending", "Settlements that Redis has not accepted yet.")
DELAYED_SETTLEMENTS = counter(
    "gateway_settlements_delayed_total", "Settlements that Redis did not accept at the first try."
)
REBUILDS = counter("gateway_quota_rebuilds_total", "Rebuilds of a team's counters from the ledger.")
REDIS_MEMORY = gauge(
    "gateway_redis_memory_used_ratio",
    "Used share of the memory of the fullest server of REDIS_URL; absent without maxmemory.",
    aggregate=MAX,
)
BUDGET_LIMIT = gauge(
    "gateway_budget_limit_usd",
    "Budget of a UTC day or month; scope is team, or a model or tier by name.",
    *("team", "window", "scope"),
    scale=NANO,
    aggregate=MAX,
)
BUDGET_SPENT = gauge(
    "gateway_budget_spent_usd",
    "Part of the budget that is spent or held.",
    *("team", "window", "scope"),
    scale=NANO,
    aggregate=MAX,
)
BUDGET_LEFT = gauge(
    "gateway_budget_remaining_usd",
    "Remaining part of the budget.",
    "team",
    "window",
    "scope",
    scale=NANO,
    aggregate=MAX,
)
CACHE_RESULTS = counter(
    "gateway_cache_results_total",
    "Served images by cache result.",
    "result",
    initial_labels=combinations(("hit", "miss", "joined", "replayed", "bypass")),
)
CACHE_BYTES = counter(
    "gateway_cache_bytes_served_total",
    "Bytes of responses that were served without a call.",
    "result",
    initial_labels=combinations(("hit", "joined", "replayed")),
)
CACHE_ERRORS = counter("gateway_cache_errors_total", "Failed accesses to the result store.")
FLIGHTS = counter(
    "gateway_flights_total",
    "Single flights across replicas: led, joined, or lost with their leader.",
    "result",
    initial_labels=combinations(("led", "joined", "lost")),
)
OUTBOX = gauge("gateway_ledger_outbox_entries", "Entries of this replica that wait to be written to the ledger.")
OLDEST_ENTRY = gauge(
    "gateway_ledger_oldest_entry_seconds", "Age of the oldest waiting entry; 0 if none waits.", aggregate=MAX
)
LAST_WRITE = gauge("gateway_ledger_last_write_timestamp_seconds", "Time of the last write of entries.", aggregate=MAX)
WRITTEN = counter("gateway_ledger_entries_written_total", "Entries written to the ledger.")
LEDGER_UNAVAILABLE = gauge(
    "gateway_ledger_unavailable", "1 while the ledger's database does not answer.", aggregate=MAX
)
RELOADS = counter(
    "gateway_settings_reloads_total",
    "Reloads of changed settings and secrets.",
    "result",
    initial_labels=combinations(("accepted", "refused")),
)
RELOADED = gauge(
    "gateway_settings_last_reload_successful",
    "0 while changed files are refused and the previous settings stay in force.",
    aggregate="min",
)
LOADED = gauge("gateway_settings_loaded_timestamp_seconds", "Time when the settings in force were read.", aggregate=MAX)
SETTINGS = gauge(
    "gateway_settings_info", "1; the version is a digest of models.yaml and teams.yaml.", "version", aggregate="count"
)
EXPIRIES = gauge(
    "gateway_key_expiry_timestamp_seconds", "Expiry of keys that end within 60 days.", "team", "key", aggregate=MAX
)
SHUTDOWNS = gauge(
    "gateway_model_shutdown_timestamp_seconds",
    "Announced shutdown of models that are still served.",
    "model",
    aggregate=MAX,
)
BUILD = gauge("gateway_build_info", "1; version of the gateway and of Python.", "version", "python", aggregate="count")
LOOP_LAG = histogram(
    "gateway_event_loop_lag_seconds", "Delay of a timer that fires twice a second.", buckets=LAG_BUCKETS
)
CRASHES = counter("gateway_crashes_total", "Unexpected errors of the gateway.")
IMAGES_NOT_STORED = counter("gateway_images_not_stored_total", "Delivered images that could not be stored.")
LOST_LINES = counter("gateway_log_lines_lost_total", "Log lines that could not be written.")
IMAGES_DELETED = counter("gateway_images_deleted_total", "Stored images deleted at the end of their lifetime.")
RESTARTS = counter("gateway_embedded_restarts_total", "Restarts of an embedded Valkey.")
REDIS_WARNINGS = counter(
    "gateway_redis_warnings_total", "Findings of a Redis server configured so that it may lose or refuse money."
)
COLLECTED_AT = gauge(
    "gateway_gauges_collected_timestamp_seconds",
    "Time of the last complete collection of budgets, keys and backlogs.",
    aggregate="min",
)

SECTIONS: tuple[tuple[str, tuple[Declared, ...]], ...] = (
    ("Requests", (REQUESTS, REQUEST_SECONDS, FIRST_PARTIAL_SECONDS, REFUSALS)),
    (
        "Backends",
        (ATTEMPTS, ATTEMPT_SECONDS, IN_FLIGHT, BREAKER, OPENINGS, RATE_LIMIT_LEFT, RATE_LIMIT_AT, EXHAUSTED),
    ),
    ("Images and money", (IMAGES, COST, UNCERTAIN, SAVED, TOKENS, QUOTES_EXCEEDED)),
    (
        "Holds and budgets",
        (
            HOLDS,
            OPEN_HOLDS,
            HELD,
            PENDING_SETTLEMENTS,
            DELAYED_SETTLEMENTS,
            REBUILDS,
            REDIS_MEMORY,
            BUDGET_LIMIT,
            BUDGET_SPENT,
            BUDGET_LEFT,
        ),
    ),
    ("Cache and flights", (CACHE_RESULTS, CACHE_BYTES, CACHE_ERRORS, FLIGHTS)),
    ("Ledger", (OUTBOX, OLDEST_ENTRY, LAST_WRITE, WRITTEN, LEDGER_UNAVAILABLE)),
    ("Settings, keys and models", (RELOADS, RELOADED, LOADED, SETTINGS, EXPIRIES, SHUTDOWNS)),
    (
        "Process",
        (
            BUILD,
            LOOP_LAG,
            CRASHES,
            LOST_LINES,
            IMAGES_NOT_STORED,
            IMAGES_DELETED,
            RESTARTS,
            REDIS_WARNINGS,
            COLLECTED_AT,
        ),
    ),
)

ALL: tuple[Declared, ...] = tuple(declared for _, section in SECTIONS for declared in section)
