"""The *Cost* dashboard: spending by team, model and tier, the state of budgets, the savings of the cache.

Rule: budgets come from the store and are exact. Sums of counters are what scrapes saw. Where they differ, the ledger
(`/v1/usage`, `image-gateway usage`) is right.
"""

from tools.dashboards import queries
from tools.dashboards.panes import (
    BACKEND,
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

CHOSEN = (queries.IN_TEAMS, queries.IN_MODELS, queries.IN_BACKENDS)
COST = queries.series(queries.COST, *CHOSEN)
UNSURE = queries.series(queries.COST, *CHOSEN, queries.UNSURE)
TOKENS = queries.series(queries.TOKENS, queries.IN_MODELS, queries.IN_BACKENDS)
IMAGES = queries.series(queries.IMAGES, *CHOSEN)
SAVED = queries.series(queries.SAVED, queries.IN_TEAMS, queries.IN_MODELS)
USED = ((None, GREEN), (0.8, YELLOW), (0.95, RED))
NAME = "{{team}} {{scope}} {{window}}"


def bars(title: str, says: str, by: str, **more: object) -> Pane:
    """Return spending in the range, the largest sum first."""
    spent = queries.named(f"{queries.increase(COST, by)} > 0", by, "none")
    query = Query(queries.largest_first(spent), f"{{{{{by}}}}}")
    settings = {"kind": Kind.BARS, "width": 6, "height": 8, "decimals": 2} | more
    return Pane(title=title, says=says, queries=(query,), unit="currencyUSD", **settings)  # type: ignore[arg-type]


SUMS = Section(
    title="Sums",
    panes=(
        number("Spent", "US dollars in this range.", queries.increase(COST), "currencyUSD", decimals=2),
        number(
            "Forecast to month's end",
            "Spent since the month began, and the rest of the month at the month's pace so far. Early in the month, "
            "and after a change of load, it says little.",
            queries.month_forecast(COST),
            "currencyUSD",
            decimals=2,
            since="now/M",
        ),
        number(
            "Per image",
            "US dollars for each delivered image, in this range.",
            f"{queries.increase(COST)} / {queries.increase(IMAGES)}",
            "currencyUSD",
            decimals=4,
        ),
        number(
            "Saved",
            "US dollars avoided by hits and joined requests, in this range.",
            queries.increase(SAVED),
            "currencyUSD",
            decimals=2,
        ),
        number(
            "Saved share",
            "Of what everything would have cost without the cache, in this range.",
            queries.saved_share(SAVED, COST),
            "percentunit",
            high=1,
            decimals=0,
        ),
        number(
            "Unconfirmed",
            "Share of the spending that is estimated or unconfirmed: calls with an unknown outcome, prices that a"
            " vendor does not state. It is posted at the worst price, so the bill is lower.",
            queries.share(UNSURE, COST),
            "percentunit",
            high=1,
            decimals=1,
            steps=((None, GREEN), (0.05, YELLOW), (0.2, RED)),
        ),
    ),
)

WHERE = Section(
    title="Where it goes",
    panes=(
        lines(
            "Spending by tier",
            "US dollars per hour by quality.",
            "currencyUSD",
            Query(queries.per_hour_by_tier(COST), "{{tier}}"),
            stacked=True,
        ),
        lines(
            "Spending by team",
            "US dollars per hour by team. A click leads to the team.",
            "currencyUSD",
            Query(queries.per_hour(COST, "team"), "{{team}}"),
            stacked=True,
            team_link=True,
        ),
        lines(
            "Spending by model",
            "US dollars per hour by model.",
            "currencyUSD",
            Query(queries.per_hour(COST, "model"), "{{model}}"),
            stacked=True,
        ),
        bars("Spent by tier", "US dollars in this range.", "tier"),
        bars("Spent by team", "US dollars in this range.", "team", team_link=True),
        bars("Spent by model", "US dollars in this range.", "model"),
        bars(
            "Spent by basis",
            "`usage`: by what the vendor counted. `table`: by a fixed price. `estimated`: the vendor states no "
            "price. `unconfirmed`: the outcome is unknown, posted at the worst price.",
            "basis",
        ),
    ),
)

BUDGET = Section(
    title="Budgets",
    panes=(
        Pane(
            title="Used",
            says="Share of each budget that is spent or held, by team, scope and window (UTC day or month).",
            queries=(Query(queries.budget_used(queries.IN_TEAMS), NAME),),
            unit="percentunit",
            kind=Kind.BARS,
            high=1,
            decimals=0,
            steps=USED,
            team_link=True,
        ),
        lines(
            "Burn",
            "How many times faster than evenly a budget is spent, by the last hour (day) or the last day (month). At "
            "1 it lasts exactly until the window ends.",
            "none",
            Query(queries.budget_burn(queries.IN_TEAMS), NAME),
            steps=((None, GREEN), (1, YELLOW), (3, RED)),
            team_link=True,
        ),
        lines(
            "Left",
            "US dollars that are left of each budget, open holds taken off.",
            "currencyUSD",
            Query(queries.budget_left(queries.IN_TEAMS, by="team, window, scope"), NAME),
            team_link=True,
        ),
        Pane(
            title="Budgets and forecasts",
            says="Limit, spending, and spending at the end of the window at the present pace.",
            queries=(
                Query(queries.budget_limit(queries.IN_TEAMS, "team, window, scope"), "Limit"),
                Query(queries.budget_spent(queries.IN_TEAMS), "Spent"),
                Query(queries.budget_forecast(queries.IN_TEAMS), "Forecast"),
            ),
            unit="currencyUSD",
            kind=Kind.TABLE,
            width=16,
            decimals=2,
        ),
        Pane(
            title="Month's end by team",
            says="Spent since the month began and the rest of the month at that pace, with or without a budget.",
            queries=(Query(queries.largest_first(queries.month_forecast(COST, "team")), "{{team}}"),),
            unit="currencyUSD",
            kind=Kind.BARS,
            decimals=2,
            since="now/M",
            team_link=True,
        ),
    ),
)

WORTH = Section(
    title="Value",
    panes=(
        lines(
            "Cost of an image by model",
            "US dollars for each generated image. A jump is another tier, another size, or another price.",
            "currencyUSD",
            Query(f"{queries.rate(COST, 'model')} / ({queries.rate(IMAGES, 'model')} > 0)", "{{model}}"),
            decimals=3,
        ),
        lines(
            "Saved by team",
            "US dollars per hour avoided by the cache and joined requests.",
            "currencyUSD",
            Query(queries.per_hour(SAVED, "team"), "{{team}}"),
            stacked=True,
            team_link=True,
        ),
        lines(
            "Tokens",
            "What vendors count and charge for, per second, by kind.",
            "none",
            Query(queries.rate(TOKENS, "kind"), "{{kind}}"),
            stacked=True,
        ),
        lines(
            "How holds end",
            "Posted: billed and entered. Voided: not billed. Expired: its replica was lost; posted at the worst "
            "price, or voided.",
            "ops",
            Query(queries.rate(queries.HOLDS, "end"), "{{end}}"),
            width=12,
        ),
        lines(
            "Unconfirmed",
            "US dollars per hour that were posted as estimated or unconfirmed.",
            "currencyUSD",
            Query(queries.per_hour(UNSURE, "backend, basis"), "{{backend}} {{basis}}"),
            width=12,
            stacked=True,
        ),
    ),
)

COSTS = Dashboard(
    name="cost",
    title="Image gateway: cost",
    says="US dollars by tier, team and model; budgets, forecasts and savings.",
    sections=(SUMS, WHERE, BUDGET, WORTH),
    variables=(TEAM, MODEL, BACKEND),
    since="now-24h",
)
