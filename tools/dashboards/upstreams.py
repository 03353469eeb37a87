"""*Upstreams*: how the vendors do: what calls came to, how long they took, what they leave us."""

from tools.dashboards.panes import (
    BACKEND,
    GREEN,
    MODEL,
    RED,
    YELLOW,
    Board,
    Kind,
    Pane,
    Query,
    Section,
    grown,
    lines,
    number,
    quantile,
    rate,
)

CHOSEN = 'backend=~"$backend",model=~"$model"'
BACKENDS = 'backend=~"$backend"'
ATTEMPTS = f"gateway_upstream_attempts_total{{{CHOSEN}}}"
FAILED = f'gateway_upstream_attempts_total{{{CHOSEN},outcome!="delivered"}}'
IMAGES = f"gateway_images_total{{{CHOSEN}}}"
OPENINGS = f"gateway_breaker_openings_total{{{BACKENDS}}}"
OPENED = f"clamp_min(sum by (backend, reason) ({OPENINGS} - ({OPENINGS} offset 5m or {OPENINGS} * 0)), 0)"
DURATION = "gateway_upstream_duration_seconds"
DELIVERED = f'{CHOSEN},outcome="delivered"'

NOW = Section(
    title="Now",
    panes=(
        number("Calls", "Calls to vendors per second.", rate(ATTEMPTS), "reqps"),
        number(
            "Failed",
            "Share of the calls that brought nothing, in this range. What another backend mended is included.",
            f"({grown(FAILED)} or vector(0)) / {grown(ATTEMPTS)}",
            "percentunit",
            high=1,
            decimals=1,
            steps=((None, GREEN), (0.02, YELLOW), (0.1, RED)),
        ),
        number("Pictures", "Pictures that vendors deliver per second.", rate(IMAGES), "ops"),
        number(
            "Slowest 5 %",
            "19 of 20 calls that delivered took less.",
            quantile(0.95, DURATION, DELIVERED),
            "s",
            steps=((None, GREEN), (60, YELLOW), (120, RED)),
        ),
        number(
            "Least headroom",
            "The least that any account has left of a limit, as its vendor said last.",
            f"min(gateway_upstream_headroom_ratio{{{CHOSEN}}})",
            "percentunit",
            high=1,
            decimals=0,
            steps=((None, RED), (0.1, YELLOW), (0.25, GREEN)),
        ),
        number(
            "Breakers not closed",
            "Backends that are left alone, or tried with a single call.",
            f"count(max by (backend) (gateway_breaker_state{{{BACKENDS}}}) > 0) or vector(0)",
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
            "What calls came to. Everything but `delivered` brought no picture.",
            "reqps",
            Query(rate(ATTEMPTS, "outcome"), "{{outcome}}"),
            stacked=True,
        ),
        lines(
            "Failures by backend",
            "Calls that brought nothing, by backend and why. `timed_out` and `broken_reply` may have been billed.",
            "reqps",
            Query(rate(FAILED, "backend, outcome"), "{{backend}} {{outcome}}"),
            stacked=True,
        ),
        lines(
            "Share that fails",
            "Of the calls to each backend.",
            "percentunit",
            Query(f"{rate(FAILED, 'backend')} / {rate(ATTEMPTS, 'backend')}", "{{backend}}"),
            high=1,
            steps=((None, GREEN), (0.1, RED)),
        ),
    ),
)

TIMES = Section(
    title="Latency",
    panes=(
        lines(
            "How long calls take",
            "Calls that delivered, by backend: half of them, and 19 of 20, took less.",
            "s",
            Query(quantile(0.5, DURATION, DELIVERED, "backend"), "{{backend}} half"),
            Query(quantile(0.95, DURATION, DELIVERED, "backend"), "{{backend}} 95 %"),
        ),
        lines(
            "Slowest 5 % by model",
            "19 of 20 calls that delivered took less.",
            "s",
            Query(quantile(0.95, DURATION, DELIVERED, "backend, model"), "{{backend}} {{model}}"),
        ),
        lines(
            "How long failures take",
            "Half of the calls that failed took less. Long ones hold callers up and may have been billed.",
            "s",
            Query(
                quantile(0.5, DURATION, f'{CHOSEN},outcome!="delivered"', "backend, outcome"),
                "{{backend}} {{outcome}}",
            ),
        ),
        lines(
            "Until the first preview",
            "Half of the streams had their first preview earlier.",
            "s",
            Query(quantile(0.5, "gateway_time_to_first_partial_seconds", CHOSEN, "backend"), "{{backend}}"),
            width=12,
        ),
        lines(
            "Who waits for whom",
            "Purchases that were led, joined while they were under way, or lost because their leader went away.",
            "ops",
            Query(rate("gateway_flights_total", "seat"), "{{seat}}"),
            width=12,
        ),
    ),
)

LIMITS = Section(
    title="Limits and breakers",
    panes=(
        lines(
            "Headroom",
            "What is left of an account's limits, as the vendor said last, by what is counted.",
            "percentunit",
            Query(
                f"min by (backend, measure) (gateway_upstream_headroom_ratio{{{CHOSEN}}})", "{{backend}} {{measure}}"
            ),
            high=1,
            steps=((None, RED), (0.1, GREEN)),
        ),
        Pane(
            title="Breakers",
            says="Open: the backend is left alone. Trying: one call finds out if it is well again.",
            queries=(Query(f"max by (backend) (gateway_breaker_state{{{BACKENDS}}})", "{{backend}}"),),
            unit="none",
            kind=Kind.STATES,
            states=((0, "closed", GREEN), (1, "trying", YELLOW), (2, "open", RED)),
        ),
        Pane(
            title="Accounts without quota",
            says="The vendor says that credit or a spending limit is used up. Waiting does not help.",
            queries=(Query(f"max by (backend) (gateway_upstream_exhausted{{{BACKENDS}}})", "{{backend}}"),),
            unit="none",
            kind=Kind.STATES,
            states=((0, "has quota", GREEN), (1, "none left", RED)),
        ),
        lines(
            "Breakers that opened",
            "How often in the last five minutes, and why. The first of a kind counts, too, which increase() would "
            "not see.",
            "none",
            Query(
                OPENED,
                "{{backend}} {{reason}}",
            ),
            width=12,
        ),
        Pane(
            title="Models that end",
            says="How long models that were asked for in this range are still there. Callers have to move before.",
            queries=(
                Query(
                    '(min by (model) (gateway_model_shutdown_timestamp_seconds{model=~"$model"}) - time()) '
                    f"and on (model) ({grown('gateway_requests_total', 'model')} > 0)",
                    "{{model}}",
                ),
            ),
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
            "Pictures in flight",
            "Pictures that backends are drawing at the moment, for all replicas; what they are scaled by.",
            "none",
            Query(f"sum by (backend) (gateway_images_in_flight{{{BACKENDS}}})", "{{backend}}"),
            stacked=True,
            width=12,
        ),
        lines(
            "Pictures by backend",
            "Pictures that are delivered per second.",
            "ops",
            Query(rate(IMAGES, "backend"), "{{backend}}"),
            stacked=True,
            width=12,
        ),
        lines(
            "Pictures by model",
            "Pictures that are delivered per second.",
            "ops",
            Query(rate(IMAGES, "model"), "{{model}}"),
            stacked=True,
            width=12,
        ),
        lines(
            "Spending by backend",
            "US dollars per hour.",
            "currencyUSD",
            Query(f"{rate(f'gateway_cost_usd_total{{{CHOSEN}}}', 'backend')} * 3600", "{{backend}}"),
            stacked=True,
            width=12,
        ),
    ),
)

UPSTREAMS = Board(
    name="upstreams",
    title="Image gateway: upstreams",
    says="Calls to vendors by outcome, their latency, headroom and breakers.",
    sections=(NOW, CALLS, TIMES, LIMITS, WORK),
    variables=(BACKEND, MODEL),
)
