"""The *Overview* dashboard: health, traffic and cost of the gateway. An operator who is on call looks here first."""

from tools.dashboards import queries
from tools.dashboards.panes import (
    BACKEND,
    BLUE,
    BREAKER_STATES,
    GREEN,
    MODEL,
    RED,
    TEAM,
    YELLOW,
    Dashboard,
    Kind,
    Pane,
    Query,
    Section,
    lines,
    number,
)

CHOSEN = (queries.IN_TEAMS, queries.IN_MODELS)
REQUESTS = queries.series(queries.REQUESTS, *CHOSEN)
FAILED = queries.series(queries.REQUESTS, *CHOSEN, queries.FAILED)
GOOD = queries.series(queries.REQUESTS, *CHOSEN, queries.GOOD)
NOT_SERVED = queries.series(queries.REQUESTS, *CHOSEN, queries.NOT_SERVED)
REFUSALS = queries.series(queries.REFUSALS, queries.IN_TEAMS)
IMAGES = queries.series(queries.IMAGES, *CHOSEN)
COST = queries.series(queries.COST, *CHOSEN, queries.IN_BACKENDS)
SAVED = queries.series(queries.SAVED, *CHOSEN)
AVAILABILITY = ((None, RED), (0.99, YELLOW), (0.995, GREEN))

NOW = Section(
    title="Now",
    panes=(
        number(
            "Requests",
            "Answered requests per second, with any outcome. Health checks and scrapes are not counted.",
            queries.rate(REQUESTS),
            "reqps",
        ),
        number(
            "Availability",
            "Share of valid requests that were served in this range. Callers' mistakes and refusals by limits do "
            "not count. The objective is 99.5 %.",
            f"1 - {queries.share(FAILED, GOOD)}",
            "percentunit",
            steps=AVAILABILITY,
            decimals=2,
            high=1,
        ),
        number(
            "Slowest 5 %",
            "19 of 20 images were served faster, hits included. An image of the best quality takes up to two minutes.",
            queries.request_seconds(0.95),
            "s",
            steps=((None, GREEN), (60, YELLOW), (120, RED)),
        ),
        number(
            "Spending", "US dollars per hour at the present pace.", queries.per_hour(COST), "currencyUSD", decimals=2
        ),
        number(
            "Saved by the cache",
            "Avoided cost of hits and joined requests, as a share of avoided cost and spending, in this range.",
            queries.saved_share(SAVED, COST),
            "percentunit",
            high=1,
            decimals=0,
        ),
        number(
            "Breakers not closed",
            "Backends that get no calls, or one test call, because they failed.",
            queries.breakers_not_closed(),
            "none",
            steps=((None, GREEN), (1, RED)),
        ),
    ),
)

TRAFFIC = Section(
    title="Traffic",
    panes=(
        lines(
            "Requests by outcome",
            "Requests by outcome. Nearly all should be `served`.",
            "reqps",
            Query(queries.rate(REQUESTS, "outcome"), "{{outcome}}"),
            stacked=True,
        ),
        lines(
            "Requests by model",
            "Requested models. `unknown`: no model, or one that does not exist.",
            "reqps",
            Query(queries.named(queries.rate(REQUESTS, "model"), "model", "unknown"), "{{model}}"),
            stacked=True,
        ),
        lines(
            "Images by team",
            "Generated images per second, without hits. A click on a team opens its dashboard.",
            "ops",
            Query(queries.rate(IMAGES, "team"), "{{team}}"),
            stacked=True,
            team_link=True,
        ),
    ),
)

ERRORS = Section(
    title="Errors",
    panes=(
        lines(
            "Requests that were not served",
            "Everything but `served`: callers' mistakes, refusals, and failures.",
            "reqps",
            Query(queries.rate(NOT_SERVED, "outcome"), "{{outcome}}"),
            stacked=True,
        ),
        lines(
            "Failures against the objective",
            "Share of good requests that the gateway or its vendors failed, all teams. Above the line (0.5 %) the "
            "month's error budget is used up faster than it comes.",
            "percentunit",
            Query(queries.availability_errors("5m"), "5 minutes"),
            Query(queries.availability_errors("1h"), "1 hour"),
            steps=((None, GREEN), (0.005, RED)),
        ),
        lines(
            "Refused by limits",
            "Requests refused by a limit of a team or its key. No backend was called.",
            "reqps",
            Query(queries.rate(REFUSALS, "team, limit"), "{{team}} {{limit}}"),
            stacked=True,
            team_link=True,
        ),
    ),
)

LATENCY = Section(
    title="Latency",
    panes=(
        lines(
            "Duration of requests",
            "Served images, hits included, from the first byte of the request to the last byte of the response: "
            "half, 19 of 20 and 99 of 100 take less. The objective is 99 % within 120 s.",
            "s",
            *(
                Query(queries.request_seconds(share), name)
                for share, name in ((0.5, "half"), (0.95, "95 %"), (0.99, "99 %"))
            ),
        ),
        lines(
            "Slowest 5 % by model",
            "19 of 20 requests for the model take less. The vendor's share is on *Upstreams*.",
            "s",
            Query(queries.request_seconds(0.95, by="model"), "{{model}}"),
        ),
        lines(
            "Until the first preview",
            "Time until the first preview of a stream: half of the streams, and 19 of 20, take less.",
            "s",
            *(
                Query(queries.quantile(share, queries.FIRST_PREVIEW_SECONDS, queries.IN_MODELS), name)
                for share, name in ((0.5, "half"), (0.95, "95 %"))
            ),
        ),
    ),
)

MONEY = Section(
    title="Money and cache",
    panes=(
        lines(
            "Spending by tier",
            "US dollars per hour by quality. The ledger is exact; this is what scrapes saw of it.",
            "currencyUSD",
            Query(queries.per_hour_by_tier(COST), "{{tier}}"),
            stacked=True,
        ),
        lines(
            "Spent and saved",
            "US dollars per hour: spending at vendors, and cost avoided by the cache and joined requests.",
            "currencyUSD",
            Query(queries.per_hour(COST), "spent"),
            Query(queries.per_hour(SAVED), "saved"),
        ),
        lines(
            "Cache results",
            "Results of cache lookups. `bypass`: caller, team or model use no cache.",
            "reqps",
            Query(queries.rate(queries.CACHE_RESULTS, "result"), "{{result}}"),
            stacked=True,
        ),
    ),
)

INSIDE = Section(
    title="Inside",
    panes=(
        Pane(
            title="Breakers",
            says=("Open: the backend fails so often that it gets no calls. Trying: one call tests it."),
            queries=(Query(queries.breaker_states(), "{{backend}}"),),
            unit="none",
            kind=Kind.STATES,
            states=BREAKER_STATES,
        ),
        lines(
            "Oldest unwritten entry",
            "Age of the oldest entry that is not yet in the ledger. Above a minute the database is slow or "
            "unreachable.",
            "s",
            Query(queries.oldest_entry(), "oldest entry"),
            steps=((None, GREEN), (60, RED)),
        ),
        lines(
            "Open holds",
            "Money set aside for calls that are under way, in US dollars, by team.",
            "currencyUSD",
            Query(queries.held(queries.IN_TEAMS, by="team"), "{{team}}"),
            stacked=True,
            team_link=True,
        ),
        lines(
            "Event loop",
            "Delay of the event loop, 99th percentile. Above half a second the process needs more than one core.",
            "s",
            Query(queries.quantile(0.99, queries.LOOP_LAG_SECONDS, by="instance"), "{{instance}}"),
            steps=((None, GREEN), (0.5, RED)),
        ),
        lines(
            "Processor",
            "Cores that each process uses. One process uses one core for its event loop, and some for threads.",
            "none",
            Query(queries.of_gateways("rate(process_cpu_seconds_total[$__rate_interval])"), "{{instance}}"),
        ),
        lines(
            "Memory",
            "Resident memory of each process.",
            "bytes",
            Query(queries.of_gateways("process_resident_memory_bytes"), "{{instance}}"),
        ),
        number(
            "Replicas",
            "Processes that answered the last scrape.",
            f"count({queries.BUILD})",
            "none",
            width=6,
            steps=((None, RED), (1, GREEN)),
        ),
        number(
            "Settings in force",
            "How many versions of the settings replicas run on. More than one for minutes: a replica refused a change.",
            queries.settings_versions(),
            "none",
            width=6,
            steps=((None, GREEN), (2, RED)),
        ),
        number(
            "Settings since",
            "Age of the settings that are in force.",
            f"time() - max({queries.SETTINGS_LOADED})",
            "s",
            width=6,
            steps=((None, BLUE),),
        ),
        number(
            "Cache errors",
            "Failed accesses to the cache in this range. Each is treated as a miss.",
            queries.increase(queries.CACHE_ERRORS),
            "none",
            width=6,
            decimals=0,
            steps=((None, GREEN), (1, YELLOW)),
        ),
    ),
)

OVERVIEW = Dashboard(
    name="overview",
    title="Image gateway: overview",
    says="Traffic, errors, latency, money and the state of the gateway.",
    sections=(NOW, TRAFFIC, ERRORS, LATENCY, MONEY, INSIDE),
    variables=(TEAM, MODEL, BACKEND),
)
