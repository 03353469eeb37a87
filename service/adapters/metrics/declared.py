"""Which metrics there are: one table, from which they are made, told and documented (`docs/metrics.md`).

Rule: a label takes its values from the settings or from an enum. Base units; money is US dollars. What is alerted on
at its first increase `starts` at zero. Pure data.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import product

from service.domain.pricing import NANO


class Kind(StrEnum):
    """What Prometheus calls it."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)  # there is one of each, which is found by itself
class Declared:
    """One metric. It is kept in whole units, `scale` of which make one that is told.

    `initial_labels` are labels that are there at zero from the first scrape; `aggregate` is how replicas are put
    together.
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
    """Every combination."""
    return tuple(product(*values))


def counter(
    name: str, text: str, *labels: str, scale: int = 1, initial_labels: tuple[tuple[str, ...], ...] = ()
) -> Declared:
    """A number that only grows. Without labels it is there from the start."""
    return Declared(
        name=name,
        kind=Kind.COUNTER,
        help=text,
        labels=labels,
        scale=scale,
        initial_labels=initial_labels if labels else NO_LABELS,
    )


def gauge(name: str, text: str, *labels: str, scale: int = 1, aggregate: str = "sum") -> Declared:
    """A number that goes up and down."""
    return Declared(name=name, kind=Kind.GAUGE, help=text, labels=labels, scale=scale, aggregate=aggregate)


def histogram(name: str, text: str, *labels: str, buckets: tuple[float, ...]) -> Declared:
    """Seconds, and how many took at most so many."""
    return Declared(name=name, kind=Kind.HISTOGRAM, help=text, labels=labels, buckets=buckets)


REQUESTS = counter(
    "gateway_requests_total",
    "Requests that were answered, health checks and scrapes aside. A stream that broke off counts as what broke it.",
    *("team", "operation", "model", "tier", "outcome", "cache"),
)
REQUEST_SECONDS = histogram(
    "gateway_request_duration_seconds",
    "From the request's first byte to its answer's last; cache is none for what was not served a picture.",
    *("operation", "model", "tier", "cache"),
    buckets=REQUEST_BUCKETS,
)
FIRST_PARTIAL_SECONDS = histogram(
    "gateway_time_to_first_partial_seconds",
    "From the request to its first preview; the backend is empty where no picture followed.",
    *("model", "backend"),
    buckets=REQUEST_BUCKETS,
)
REFUSALS = counter(
    "gateway_limit_refusals_total",
    "Requests that a limit had no room for; scope is team, key, or a model or tier by name.",
    *("team", "scope", "limit"),
)
ATTEMPTS = counter(
    "gateway_upstream_attempts_total",
    "Backend calls that are over; outcome is delivered or the kind of failure.",
    *("backend", "model", "outcome"),
)
ATTEMPT_SECONDS = histogram(
    "gateway_upstream_duration_seconds", "Backend calls.", "backend", "model", "outcome", buckets=CALL_BUCKETS
)
IN_FLIGHT = gauge(
    "gateway_images_in_flight", "Pictures that backends are drawing for this replica at the moment.", "backend"
)
BREAKER = gauge(
    "gateway_breaker_state",
    "0: calls go through, 1: it is being found out whether the backend is back, 2: it is left alone.",
    "backend",
    aggregate=MAX,
)
OPENINGS = counter(
    "gateway_breaker_openings_total",
    "How often this replica found that a backend was left alone, and why.",
    *("backend", "reason"),
)
RATE_LIMIT_LEFT = gauge(
    "gateway_upstream_headroom_ratio",
    "What is left of a limit of the account, as a part of it, as the vendor said last.",
    *("backend", "model", "measure"),
    aggregate="min",
)
RATE_LIMIT_AT = gauge(
    "gateway_upstream_headroom_timestamp_seconds",
    "When the vendor said so.",
    *("backend", "model", "measure"),
    aggregate=MAX,
)
EXHAUSTED = gauge(
    "gateway_upstream_exhausted", "1 while the account has no credit, as far as is known.", "backend", aggregate=MAX
)
IMAGES = counter(
    "gateway_images_total",
    "Pictures that were bought and delivered, by the tier that was drawn. What the cache served is not bought.",
    *("team", "model", "backend", "tier", "size_class", "operation"),
)
COST = counter(
    "gateway_cost_usd_total",
    "What was booked, as in the ledger.",
    *("team", "tier", "model", "backend", "basis"),
    scale=NANO,
)
UNCERTAIN = counter(
    "gateway_uncertain_usd_total",
    "The part of what was booked that no vendor has confirmed.",
    "basis",
    scale=NANO,
    initial_labels=combinations(("estimated", "unconfirmed")),
)
SAVED = counter(
    "gateway_saved_usd_total",
    "What hits, joined and replayed requests would have cost.",
    *("team", "model", "tier"),
    scale=NANO,
)
TOKENS = counter(
    "gateway_tokens_total",
    "Tokens as vendors counted them. The kinds have nothing in common: what was cached is not in text_in or image_in.",
    *("model", "backend", "kind"),
)
QUOTES_EXCEEDED = counter(
    "gateway_quotes_exceeded_total", "Purchases that cost more than was held for them: a price is too low."
)
HOLDS = counter(
    "gateway_holds_total",
    "How holds ended.",
    "end",
    initial_labels=combinations(("posted", "voided", "expired_booked", "expired_voided")),
)
OPEN_HOLDS = gauge("gateway_open_holds", "Holds that have not ended.", "team")
HELD = gauge("gateway_held_usd", "What open holds set aside.", "team", scale=NANO)
PENDING_SETTLEMENTS = gauge("gateway_settlements_pending", "Ends of holds that the store has not taken yet.")
DELAYED_SETTLEMENTS = counter(
    "gateway_settlements_delayed_total", "Times that the store did not take the end of a hold."
)
REBUILDS = counter("gateway_quota_rebuilds_total", "Times that a team's counters were made again from the books.")
REDIS_MEMORY = gauge(
    "gateway_state_memory_used_ratio",
    "Part of its memory that the fullest server of REDIS_URL uses; absent where none has a bound.",
    aggregate=MAX,
)
BUDGET_LIMIT = gauge(
    "gateway_budget_limit_usd",
    "What may be spent in a UTC day or month; scope is team, or a model or tier by name.",
    *("team", "window", "scope"),
    scale=NANO,
    aggregate=MAX,
)
BUDGET_SPENT = gauge(
    "gateway_budget_spent_usd",
    "What was spent of it, or is held.",
    *("team", "window", "scope"),
    scale=NANO,
    aggregate=MAX,
)
BUDGET_LEFT = gauge(
    "gateway_budget_remaining_usd", "What is left of it.", "team", "window", "scope", scale=NANO, aggregate=MAX
)
CACHE_RESULTS = counter(
    "gateway_cache_results_total",
    "Where served pictures came from.",
    "result",
    initial_labels=combinations(("hit", "miss", "joined", "replayed", "bypass")),
)
CACHE_BYTES = counter(
    "gateway_cache_bytes_served_total",
    "Bytes of answers that nobody had to buy again.",
    "result",
    initial_labels=combinations(("hit", "joined", "replayed")),
)
CACHE_ERRORS = counter("gateway_cache_errors_total", "Times that the store of results did not answer.")
FLIGHTS = counter(
    "gateway_flights_total",
    "Purchases that other replicas can wait for: led, joined, or lost with their leader.",
    "seat",
    initial_labels=combinations(("led", "joined", "lost")),
)
OUTBOX = gauge("gateway_ledger_outbox_entries", "Entries of this replica that wait for the books.")
OLDEST_ENTRY = gauge(
    "gateway_ledger_oldest_entry_seconds", "How long the oldest of them has waited; 0 if none does.", aggregate=MAX
)
LAST_WRITE = gauge(
    "gateway_ledger_last_pump_timestamp_seconds", "When entries were brought to the books last.", aggregate=MAX
)
WRITTEN = counter("gateway_ledger_entries_written_total", "Entries that were brought to the books.")
LEDGER_UNAVAILABLE = gauge("gateway_ledger_behind", "1 while the books do not answer.", aggregate=MAX)
RELOADS = counter(
    "gateway_settings_reloads_total",
    "Times that changed settings and secrets were read.",
    "result",
    initial_labels=combinations(("accepted", "refused")),
)
RELOADED = gauge(
    "gateway_settings_last_reload_successful",
    "0 while what lies on disk is refused and what was before is in force.",
    aggregate="min",
)
LOADED = gauge("gateway_settings_loaded_timestamp_seconds", "When the settings in force were read.", aggregate=MAX)
SETTINGS = gauge(
    "gateway_settings_info", "1; the version is a digest of models.yaml and teams.yaml.", "version", aggregate="count"
)
EXPIRIES = gauge(
    "gateway_key_expiry_timestamp_seconds", "When keys end that end within 60 days.", "team", "key", aggregate=MAX
)
SHUTDOWNS = gauge(
    "gateway_model_shutdown_timestamp_seconds",
    "The announced ends of models that are still served.",
    "model",
    aggregate=MAX,
)
BUILD = gauge("gateway_build_info", "1; which gateway on which Python.", "version", "python", aggregate="count")
LOOP_LAG = histogram("gateway_event_loop_lag_seconds", "How late a timer fires, twice a second.", buckets=LAG_BUCKETS)
CRASHES = counter("gateway_crashes_total", "Mistakes of the gateway's own.")
IMAGES_NOT_STORED = counter("gateway_pictures_unkept_total", "Pictures that were delivered and could not be kept.")
LOST_LINES = counter("gateway_log_lines_lost_total", "Lines of the log that could not be written.")
IMAGES_DELETED = counter("gateway_pictures_forgotten_total", "Kept pictures that were old enough to be deleted.")
RESTARTS = counter("gateway_embedded_restarts_total", "Times that an embedded Valkey ended and was started again.")
REDIS_WARNINGS = counter(
    "gateway_store_warnings_total", "Times that a store was found set up so that it may lose money."
)
COLLECTED_AT = gauge(
    "gateway_readings_timestamp_seconds",
    "When budgets, keys and what waits were read last, with everything there.",
    aggregate="min",
)

SECTIONS: tuple[tuple[str, tuple[Declared, ...]], ...] = (
    ("Requests", (REQUESTS, REQUEST_SECONDS, FIRST_PARTIAL_SECONDS, REFUSALS)),
    (
        "Backends",
        (ATTEMPTS, ATTEMPT_SECONDS, IN_FLIGHT, BREAKER, OPENINGS, RATE_LIMIT_LEFT, RATE_LIMIT_AT, EXHAUSTED),
    ),
    ("Pictures and money", (IMAGES, COST, UNCERTAIN, SAVED, TOKENS, QUOTES_EXCEEDED)),
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
