"""*Cost*: who spends what on what, whether budgets last, what the cache saves.

Rule: budgets come from the store and are exact; what is summed up from counters is what scrapes saw, and the ledger
(`/v1/usage`, `image-gateway usage`) is right where they differ.
"""

from tools.dashboards.panes import (
    BACKEND,
    GREEN,
    MODEL,
    RED,
    TEAM,
    YELLOW,
    Board,
    Kind,
    Pane,
    Query,
    Section,
    grown,
    lines,
    named,
    number,
    rate,
)

CHOSEN = 'team=~"$team",model=~"$model"'
COST = f'gateway_cost_usd_total{{{CHOSEN},backend=~"$backend"}}'
SAVED = f"gateway_saved_usd_total{{{CHOSEN}}}"
IMAGES = f'gateway_images_total{{{CHOSEN},backend=~"$backend"}}'
UNSURE = f'gateway_cost_usd_total{{{CHOSEN},backend=~"$backend",basis=~"estimated|unconfirmed"}}'
MONTH_LEFT = "((days_in_month() - day_of_month() + 1) * 86400 - time() % 86400)"
PACE = "[$__range])"
USED = ((None, GREEN), (0.8, YELLOW), (0.95, RED))
BUDGETS = 'team=~"$team"'
NAME = "{{team}} {{scope}} {{window}}"


def forecast(by: str) -> str:
    """Spent this month, and the rest of the month at this month's pace. Its pane shows the month so far."""
    grouped = f"sum by ({by})" if by else "sum"
    left = f"on () group_left () {MONTH_LEFT}" if by else f"scalar({MONTH_LEFT})"
    return f"{grown(COST, by)} + {grouped} (rate({COST}{PACE}) * {left}"


def bars(title: str, says: str, by: str, counter: str = COST, **more: object) -> Pane:
    """Sums over the range, the largest first."""
    query = Query(f"sort_desc({named(f'{grown(counter, by)} > 0', by, 'none')})", f"{{{{{by}}}}}")
    settings = {"kind": Kind.BARS, "width": 6, "height": 8, "decimals": 2} | more
    return Pane(title=title, says=says, queries=(query,), unit="currencyUSD", **settings)  # type: ignore[arg-type]


SUMS = Section(
    title="Sums",
    panes=(
        number("Spent", "US dollars in this range.", grown(COST), "currencyUSD", decimals=2),
        number(
            "Forecast to month's end",
            "Spent since the month began, and the rest of the month at the month's pace so far. Early in the month, "
            "and after a change of load, it says little.",
            forecast(""),
            "currencyUSD",
            decimals=2,
            since="now/M",
        ),
        number(
            "Per picture",
            "US dollars for each picture that was delivered, in this range.",
            f"{grown(COST)} / {grown(IMAGES)}",
            "currencyUSD",
            decimals=4,
        ),
        number(
            "Saved",
            "US dollars that hits and joined purchases spared, in this range.",
            grown(SAVED),
            "currencyUSD",
            decimals=2,
        ),
        number(
            "Saved share",
            "Of what everything would have cost without the cache, in this range.",
            f"{grown(SAVED)} / ({grown(SAVED)} + {grown(COST)})",
            "percentunit",
            high=1,
            decimals=0,
        ),
        number(
            "Not sure",
            "Share of the spending that is an estimate or unconfirmed: calls without a verdict, prices that a vendor "
            "does not say. It is booked at its worst, so the bill is below.",
            f"({grown(UNSURE)} or vector(0)) / {grown(COST)}",
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
            Query(named(f"{rate(COST, 'tier')} * 3600", "tier", "no tiers"), "{{tier}}"),
            stacked=True,
        ),
        lines(
            "Spending by team",
            "US dollars per hour by team. A click leads to the team.",
            "currencyUSD",
            Query(f"{rate(COST, 'team')} * 3600", "{{team}}"),
            stacked=True,
            team_link=True,
        ),
        lines(
            "Spending by model",
            "US dollars per hour by model.",
            "currencyUSD",
            Query(f"{rate(COST, 'model')} * 3600", "{{model}}"),
            stacked=True,
        ),
        bars("Spent by tier", "US dollars in this range.", "tier"),
        bars("Spent by team", "US dollars in this range.", "team", team_link=True),
        bars("Spent by model", "US dollars in this range.", "model"),
        bars(
            "Spent by basis",
            "`usage`: by what the vendor counted. `table`: by a fixed price. `estimated`: the vendor says no price. "
            "`unconfirmed`: no verdict came, booked at the worst price.",
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
            queries=(Query(f"sort_desc(team_window_scope:gateway_budget_used:ratio{{{BUDGETS}}})", NAME),),
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
            Query(f"team_window_scope:gateway_budget_burn:ratio{{{BUDGETS}}}", NAME),
            steps=((None, GREEN), (1, YELLOW), (3, RED)),
            team_link=True,
        ),
        lines(
            "Left",
            "US dollars that are left of each budget, open holds taken off.",
            "currencyUSD",
            Query(f"max by (team, window, scope) (gateway_budget_remaining_usd{{{BUDGETS}}})", NAME),
            team_link=True,
        ),
        Pane(
            title="Budgets and forecasts",
            says="Limit, spent, and what will have been spent when the window ends, at the present pace.",
            queries=(
                Query(f"max by (team, window, scope) (gateway_budget_limit_usd{{{BUDGETS}}})", "Limit"),
                Query(f"team_window_scope:gateway_budget_spent_usd:max{{{BUDGETS}}}", "Spent"),
                Query(f"team_window_scope:gateway_budget_forecast_usd:pace{{{BUDGETS}}}", "Forecast"),
            ),
            unit="currencyUSD",
            kind=Kind.TABLE,
            width=16,
            decimals=2,
        ),
        Pane(
            title="Month's end by team",
            says="Spent since the month began and the rest of the month at that pace, with or without a budget.",
            queries=(Query(f"sort_desc({forecast('team')})", "{{team}}"),),
            unit="currencyUSD",
            kind=Kind.BARS,
            decimals=2,
            since="now/M",
            team_link=True,
        ),
    ),
)

WORTH = Section(
    title="What it is worth",
    panes=(
        lines(
            "Cost of a picture by model",
            "US dollars for each picture that was bought. A jump is another tier, another size, or another price.",
            "currencyUSD",
            Query(f"{rate(COST, 'model')} / ({rate(IMAGES, 'model')} > 0)", "{{model}}"),
            decimals=3,
        ),
        lines(
            "Saved by team",
            "US dollars per hour that the cache and joined purchases spare.",
            "currencyUSD",
            Query(f"{rate(SAVED, 'team')} * 3600", "{{team}}"),
            stacked=True,
            team_link=True,
        ),
        lines(
            "Tokens",
            "What vendors count and charge for, per second, by kind.",
            "none",
            Query(rate('gateway_tokens_total{model=~"$model",backend=~"$backend"}', "kind"), "{{kind}}"),
            stacked=True,
        ),
        lines(
            "How holds end",
            "Posted: bought and booked. Voided: not billed. Expired: nobody came back; booked at the worst price, or "
            "void.",
            "ops",
            Query(rate("gateway_holds_total", "end"), "{{end}}"),
            width=12,
        ),
        lines(
            "Not sure",
            "US dollars per hour that were booked as an estimate or unconfirmed.",
            "currencyUSD",
            Query(f"{rate(UNSURE, 'backend, basis')} * 3600", "{{backend}} {{basis}}"),
            width=12,
            stacked=True,
        ),
    ),
)

COSTS = Board(
    name="cost",
    title="Image gateway: cost",
    says="US dollars by tier, team and model; budgets, forecasts and savings.",
    sections=(SUMS, WHERE, BUDGET, WORTH),
    variables=(TEAM, MODEL, BACKEND),
    since="now-24h",
)
