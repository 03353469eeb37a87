"""The *Team* dashboard: quotas, refusals, spending and slow requests of one team.

Rule: durations have no team in their labels, so that a scrape stays small at 200 teams. The dashboard therefore shows
durations of the models that the team uses, for the requests of all teams.
"""

from tools.dashboards import queries
from tools.dashboards.panes import (
    GREEN,
    MODEL,
    ONE_TEAM,
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

CHOSEN = (queries.IN_TEAM, queries.IN_MODELS)
REQUESTS = queries.series(queries.REQUESTS, *CHOSEN)
FAILED = queries.series(queries.REQUESTS, *CHOSEN, queries.FAILED)
OF_ALL_MODELS = queries.series(queries.REQUESTS, queries.IN_TEAM)
REFUSALS = queries.series(queries.REFUSALS, queries.IN_TEAM)
IMAGES = queries.series(queries.IMAGES, *CHOSEN)
COST = queries.series(queries.COST, *CHOSEN)
SAVED = queries.series(queries.SAVED, *CHOSEN)
NAME = "{{scope}} {{window}}"

NOW = Section(
    title="Now",
    panes=(
        number("Requests", "Requests of the team per second.", queries.rate(REQUESTS), "reqps"),
        number(
            "Refused",
            "Share of the team's requests that its own limits refused, in this range.",
            queries.share(REFUSALS, OF_ALL_MODELS),
            "percentunit",
            high=1,
            decimals=1,
            steps=((None, GREEN), (0.01, YELLOW), (0.1, RED)),
        ),
        number("Spent", "US dollars in this range.", queries.increase(COST), "currencyUSD", decimals=2),
        number(
            "Left today",
            "US dollars until the UTC day ends.",
            queries.budget_left(queries.IN_TEAM, 'scope="team"', 'window="day"'),
            "currencyUSD",
            decimals=2,
            empty="no limit",
        ),
        number(
            "Left this month",
            "US dollars until the UTC month ends.",
            queries.budget_left(queries.IN_TEAM, 'scope="team"', 'window="month"'),
            "currencyUSD",
            decimals=2,
            empty="no limit",
        ),
        number(
            "Under way",
            "Calls that money is held for at the moment.",
            queries.open_holds(queries.IN_TEAM),
            "none",
        ),
    ),
)

QUOTAS = Section(
    title="Quotas",
    panes=(
        Pane(
            title="Budgets",
            says="Share of each of the team's budgets that is spent.",
            queries=(Query(queries.budget_used(queries.IN_TEAM), NAME),),
            unit="percentunit",
            kind=Kind.BARS,
            high=1,
            decimals=0,
            steps=((None, GREEN), (0.8, YELLOW), (0.95, RED)),
        ),
        lines(
            "Spent against limits",
            "US dollars in the window so far, and where it ends.",
            "currencyUSD",
            Query(queries.budget_spent(queries.IN_TEAM), NAME),
            Query(queries.budget_limit(queries.IN_TEAM, "window, scope"), f"{NAME} limit"),
        ),
        lines(
            "Burn",
            "How many times faster than evenly each budget is spent. At 1 it lasts until the window ends.",
            "none",
            Query(queries.budget_burn(queries.IN_TEAM), NAME),
            steps=((None, GREEN), (1, YELLOW), (3, RED)),
        ),
        lines(
            "Refused by limit",
            "Requests that a limit of the team refused. Rates are there again within a minute, budgets when the "
            "window ends.",
            "reqps",
            Query(queries.rate(REFUSALS, "scope, limit"), "{{scope}} {{limit}}"),
            stacked=True,
        ),
        lines(
            "Held",
            "US dollars that are set aside for calls under way.",
            "currencyUSD",
            Query(queries.held(queries.IN_TEAM), "held"),
        ),
        Pane(
            title="Keys that end",
            says="How long the team's keys are still good. Keys that do not end within 60 days are not shown.",
            queries=(Query(queries.keys_that_end(queries.IN_TEAM), "{{key}}"),),
            unit="s",
            kind=Kind.BARS,
            low=None,
            steps=((None, RED), (86400, YELLOW), (604800, GREEN)),
            empty="none within 60 days",
        ),
    ),
)

WORK = Section(
    title="Requests",
    panes=(
        lines(
            "By outcome",
            "Requests of the team by outcome.",
            "reqps",
            Query(queries.rate(REQUESTS, "outcome"), "{{outcome}}"),
            stacked=True,
        ),
        lines(
            "Failures",
            "Requests that the gateway or its vendors failed, by model. This is not the team's fault.",
            "reqps",
            Query(queries.rate(FAILED, "model, outcome"), "{{model}} {{outcome}}"),
            stacked=True,
        ),
        lines(
            "From the cache",
            "Cache results of the team's requests. `bypass`: a backend is called each time.",
            "reqps",
            Query(queries.rate(REQUESTS, "cache"), "{{cache}}"),
            stacked=True,
        ),
        lines(
            "Images by size",
            "Generated images by size class and operation.",
            "ops",
            Query(queries.rate(IMAGES, "size_class, operation"), "{{size_class}} {{operation}}"),
            stacked=True,
        ),
        lines(
            "Slowest 5 % by model",
            "Duration of the models that this team requests; images of all teams are counted.",
            "s",
            Query(queries.of_used_models(queries.request_seconds(0.95, by="model"), REQUESTS), "{{model}}"),
        ),
        Pane(
            title="Slowest",
            says="The ten slowest kinds of request among the models that this team requests: 19 of 20 take less.",
            queries=(Query(queries.slowest_requests(REQUESTS), "95 % take less than"),),
            unit="s",
            kind=Kind.TABLE,
            decimals=2,
        ),
    ),
)

MONEY = Section(
    title="Spending",
    panes=(
        lines(
            "By model",
            "US dollars per hour.",
            "currencyUSD",
            Query(queries.per_hour(COST, "model"), "{{model}}"),
            stacked=True,
        ),
        lines(
            "By tier",
            "US dollars per hour by quality.",
            "currencyUSD",
            Query(queries.per_hour_by_tier(COST), "{{tier}}"),
            stacked=True,
        ),
        lines(
            "Saved",
            "US dollars per hour avoided by the cache and joined requests.",
            "currencyUSD",
            Query(queries.per_hour(SAVED, "model"), "{{model}}"),
            stacked=True,
        ),
    ),
)

TEAMS = Dashboard(
    name="team",
    title="Image gateway: team",
    says="One team's quotas, refusals, spending and slowest requests.",
    sections=(NOW, QUOTAS, WORK, MONEY),
    variables=(ONE_TEAM, MODEL),
)
