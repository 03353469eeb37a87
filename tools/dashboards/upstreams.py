"""The *Upstreams* dashboard: outcomes and durations of calls to vendors, rate limits, breakers."""

from tools.dashboards import queries
from tools.dashboards.panes import (
    BACKEND,
    BREAKER_STATES,
    GREEN,
    MODEL,
    RED,
    YELLOW,
    Dashboard,
    Kind,
    Pane,
    Query,
    Section,
    lines,
    number,
)

CHOSEN = (queries.IN_BACKENDS, queries.IN_MODELS)
CALLS_MADE = queries.series(queries.UPSTREAM_CALLS, *CHOSEN)
FAILED = queries.series(queries.UPSTREAM_CALLS, *CHOSEN, queries.NOT_DELIVERED)
IMAGES = queries.series(queries.IMAGES, *CHOSEN)
COST = queries.series(queries.COST, *CHOSEN)
FIRST_PREVIEW = queries.quantile(0.5, queries.FIRST_PREVIEW_SECONDS, *CHOSEN, by="backend")

NOW = Section(
    title="Now",
    panes=(
        number("Calls", "Calls to vendors per second.", queries.rate(CALLS_MADE), "reqps"),
        number(
            "Failed",
            "Share of calls that delivered nothing, in this range. Failures that a failover made good are included.",
            queries.share(FAILED, CALLS_MADE),
            "percentunit",
            high=1,
            decimals=1,
            steps=((None, GREEN), (0.02, YELLOW), (0.1, RED)),
        ),
        number("Images", "Images that vendors deliver per second.", queries.rate(IMAGES), "ops"),
        number(
            "Slowest 5 %",
            "19 of 20 calls that delivered took less.",
            queries.call_seconds(0.95, queries.DELIVERED),
            "s",
            steps=((None, GREEN), (60, YELLOW), (120, RED)),
        ),
        number(
            "Lowest remaining rate limit",
            "The lowest remaining share of any account's rate limit, as its vendor last reported.",
            queries.remaining_rate_limit(*CHOSEN),
            "percentunit",
            high=1,
            decimals=0,
            steps=((None, RED), (0.1, YELLOW), (0.25, GREEN)),
        ),
        number(
            "Breakers not closed",
            "Backends that get no calls, or one test call.",
            queries.breakers_not_closed(),
            "none",
            steps=((None, GREEN), (1, RED)),
        ),
    ),
)

CALLS = Section(
    title="Calls",
    panes=(
        lines(
            "Calls by outcome",
            "Calls by outcome. Only `delivered` brought images.",
            "reqps",
            Query(queries.rate(CALLS_MADE, "outcome"), "{{outcome}}"),
            stacked=True,
        ),
        lines(
            "Failures by backend",
            "Failed calls by backend and kind of failure. `timed_out` and `broken_reply` may have been billed.",
            "reqps",
            Query(queries.rate(FAILED, "backend, outcome"), "{{backend}} {{outcome}}"),
            stacked=True,
        ),
        lines(
            "Share that fails",
            "Of the calls to each backend.",
            "percentunit",
            Query(f"{queries.rate(FAILED, 'backend')} / {queries.rate(CALLS_MADE, 'backend')}", "{{backend}}"),
            high=1,
            steps=((None, GREEN), (0.1, RED)),
        ),
    ),
)

TIMES = Section(
    title="Latency",
    panes=(
        lines(
            "Duration of calls",
            "Calls that delivered, by backend: half of them, and 19 of 20, took less.",
            "s",
            Query(queries.call_seconds(0.5, queries.DELIVERED, by="backend"), "{{backend}} half"),
            Query(queries.call_seconds(0.95, queries.DELIVERED, by="backend"), "{{backend}} 95 %"),
        ),
        lines(
            "Slowest 5 % by model",
            "19 of 20 calls that delivered took less.",
            "s",
            Query(queries.call_seconds(0.95, queries.DELIVERED, by="backend, model"), "{{backend}} {{model}}"),
        ),
        lines(
            "Duration of failures",
            "Half of the calls that failed took less. Long ones hold callers up and may have been billed.",
            "s",
            Query(queries.call_seconds(0.5, queries.NOT_DELIVERED, by="backend, outcome"), "{{backend}} {{outcome}}"),
        ),
        lines(
            "Until the first preview",
            "Half of the streams had their first preview earlier. `no image`: the stream failed after its preview.",
            "s",
            Query(queries.named(FIRST_PREVIEW, "backend", "no image"), "{{backend}}"),
            width=12,
        ),
        lines(
            "Flights",
            "Single flights that requests led, joined, or lost because their leader ended.",
            "ops",
            Query(queries.rate(queries.FLIGHTS, "result"), "{{result}}"),
            width=12,
        ),
    ),
)

LIMITS = Section(
    title="Limits and breakers",
    panes=(
        lines(
            "Remaining rate limits",
            "The remaining share of each account's rate limits, as its vendor last reported, by measure.",
            "percentunit",
            Query(queries.remaining_rate_limit(*CHOSEN, by="backend, measure"), "{{backend}} {{measure}}"),
            high=1,
            steps=((None, RED), (0.1, GREEN)),
        ),
        Pane(
            title="Breakers",
            says="Open: the backend gets no calls. Trying: one call tests it.",
            queries=(Query(queries.breaker_states(), "{{backend}}"),),
            unit="none",
            kind=Kind.STATES,
            states=BREAKER_STATES,
        ),
        Pane(
            title="Accounts without quota",
            says="The vendor reports that credit or a spending limit is used up. Waiting does not help.",
            queries=(Query(queries.exhausted_accounts(), "{{backend}}"),),
            unit="none",
            kind=Kind.STATES,
            states=((0, "has quota", GREEN), (1, "none left", RED)),
        ),
        lines(
            "Breakers that opened",
            "How often in the last five minutes, and why. The first of a kind counts, too, which increase() would "
            "not see.",
            "none",
            Query(queries.breakers_opened(), "{{backend}} {{reason}}"),
            width=12,
        ),
        Pane(
            title="Models that end",
            says="Time until the shutdown of models that were requested in this range. Callers have to move before.",
            queries=(Query(queries.models_that_end(), "{{model}}"),),
            unit="s",
            kind=Kind.BARS,
            width=12,
            low=None,
            steps=((None, RED), (1209600, YELLOW), (2592000, GREEN)),
            empty="none that is used",
        ),
    ),
)

WORK = Section(
    title="Work",
    panes=(
        lines(
            "Images in flight",
            "Images that backends are generating now, for all replicas. Replicas are scaled by it.",
            "none",
            Query(queries.images_in_flight(), "{{backend}}"),
            stacked=True,
            width=12,
        ),
        lines(
            "Images by backend",
            "Delivered images per second.",
            "ops",
            Query(queries.rate(IMAGES, "backend"), "{{backend}}"),
            stacked=True,
            width=12,
        ),
        lines(
            "Images by model",
            "Delivered images per second.",
            "ops",
            Query(queries.rate(IMAGES, "model"), "{{model}}"),
            stacked=True,
            width=12,
        ),
        lines(
            "Spending by backend",
            "US dollars per hour.",
            "currencyUSD",
            Query(queries.per_hour(COST, "backend"), "{{backend}}"),
            stacked=True,
            width=12,
        ),
    ),
)

UPSTREAMS = Dashboard(
    name="upstreams",
    title="Image gateway: upstreams",
    says="Calls to vendors by outcome, their latency, rate limits and breakers.",
    sections=(NOW, CALLS, TIMES, LIMITS, WORK),
    variables=(BACKEND, MODEL),
)
