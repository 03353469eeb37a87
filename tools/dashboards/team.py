"""*Team*: what one team asks, is refused, spends and waits for.

Rule: durations have no team in their labels, so that a scrape stays small at 200 teams; what is shown is how long the
models take that the team asks for, whoever asks.
"""

from tools.dashboards.panes import (
    GREEN,
    MODEL,
    ONE_TEAM,
    RED,
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
    quantile,
    rate,
)

WHO = 'team="$team"'
CHOSEN = f'{WHO},model=~"$model"'
REQUESTS = f"gateway_requests_total{{{CHOSEN}}}"
COST = f"gateway_cost_usd_total{{{CHOSEN}}}"
SAVED = f"gateway_saved_usd_total{{{CHOSEN}}}"
REFUSALS = f"gateway_limit_refusals_total{{{WHO}}}"
OURS = 'outcome=~"upstream_failed|unavailable|internal"'
MODELS = 'model=~"$model",operation=~"generate|edit",cache!="none"'
ASKED = f"({grown(REQUESTS, 'model')} > 0)"
NAME = "{{scope}} {{window}}"
LEFT = 'max(gateway_budget_remaining_usd{{team="$team",scope="team",window="{}"}})'

NOW = Section(
    title="Now",
    panes=(
        number("Requests", "Requests of the team per second.", rate(REQUESTS), "reqps"),
        number(
            "Refused",
            "Share of the team's requests that its own limits refused, in this range.",
            f"({grown(REFUSALS)} or vector(0)) / {grown(f'gateway_requests_total{{{WHO}}}')}",
            "percentunit",
            high=1,
            decimals=1,
            steps=((None, GREEN), (0.01, YELLOW), (0.1, RED)),
        ),
        number("Spent", "US dollars in this range.", grown(COST), "currencyUSD", decimals=2),
        number(
            "Left today",
            "US dollars until the UTC day ends.",
            LEFT.format("day"),
            "currencyUSD",
            decimals=2,
            empty="no limit",
        ),
        number(
            "Left this month",
            "US dollars until the UTC month ends.",
            LEFT.format("month"),
            "currencyUSD",
            decimals=2,
            empty="no limit",
        ),
        number(
            "Under way",
            "Calls that money is held for at the moment.",
            f"sum(gateway_open_holds{{{WHO}}})",
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
            queries=(Query(f"sort_desc(team_window_scope:gateway_budget_used:ratio{{{WHO}}})", NAME),),
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
            Query(f"team_window_scope:gateway_budget_spent_usd:max{{{WHO}}}", f"{NAME}"),
            Query(f"max by (window, scope) (gateway_budget_limit_usd{{{WHO}}})", f"{NAME} limit"),
        ),
        lines(
            "Burn",
            "How many times faster than evenly each budget is spent. At 1 it lasts until the window ends.",
            "none",
            Query(f"team_window_scope:gateway_budget_burn:ratio{{{WHO}}}", NAME),
            steps=((None, GREEN), (1, YELLOW), (3, RED)),
        ),
        lines(
            "Refused by limit",
            "Requests that a limit of the team refused. Rates are there again within a minute, budgets when the "
            "window ends.",
            "reqps",
            Query(rate(REFUSALS, "scope, limit"), "{{scope}} {{limit}}"),
            stacked=True,
        ),
        lines(
            "Held",
            "US dollars that are set aside for calls under way.",
            "currencyUSD",
            Query(f"sum(gateway_held_usd{{{WHO}}})", "held"),
        ),
        Pane(
            title="Keys that end",
            says="How long the team's keys are still good. Keys that do not end within 60 days are not shown.",
            queries=(Query(f"sort(min by (key) (gateway_key_expiry_timestamp_seconds{{{WHO}}}) - time())", "{{key}}"),),
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
            "What the team's requests came to.",
            "reqps",
            Query(rate(REQUESTS, "outcome"), "{{outcome}}"),
            stacked=True,
        ),
        lines(
            "Failures",
            "Requests that the gateway or its vendors failed, by model. This is not the team's fault.",
            "reqps",
            Query(rate(f"gateway_requests_total{{{CHOSEN},{OURS}}}", "model, outcome"), "{{model}} {{outcome}}"),
            stacked=True,
        ),
        lines(
            "From the cache",
            "How the team's requests met the cache. `bypass` buys every time.",
            "reqps",
            Query(rate(REQUESTS, "cache"), "{{cache}}"),
            stacked=True,
        ),
        lines(
            "Pictures by size",
            "Pictures that were bought, by size class and operation.",
            "ops",
            Query(rate(f"gateway_images_total{{{CHOSEN}}}", "size_class, operation"), "{{size_class}} {{operation}}"),
            stacked=True,
        ),
        lines(
            "Slowest 5 % by model",
            "How long the models take that this team asks for; everybody's pictures are counted.",
            "s",
            Query(
                f"{quantile(0.95, 'gateway_request_duration_seconds', MODELS, 'model')} and on (model) {ASKED}",
                "{{model}}",
            ),
        ),
        Pane(
            title="Slowest",
            says="The ten slowest kinds of request among the models that this team asks for: 19 of 20 take less.",
            queries=(
                Query(
                    "topk(10, histogram_quantile(0.95, sum by (le, model, tier, operation) "
                    f"(increase(gateway_request_duration_seconds_bucket{{{MODELS}}}[$__range]))) "
                    f"and on (model) {ASKED})",
                    "95 % take less than",
                ),
            ),
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
            Query(f"{rate(COST, 'model')} * 3600", "{{model}}"),
            stacked=True,
        ),
        lines(
            "By tier",
            "US dollars per hour by quality.",
            "currencyUSD",
            Query(named(f"{rate(COST, 'tier')} * 3600", "tier", "no tiers"), "{{tier}}"),
            stacked=True,
        ),
        lines(
            "Saved",
            "US dollars per hour that the cache and joined purchases spare.",
            "currencyUSD",
            Query(f"{rate(SAVED, 'model')} * 3600", "{{model}}"),
            stacked=True,
        ),
    ),
)

TEAMS = Board(
    name="team",
    title="Image gateway: team",
    says="One team's quotas, refusals, spending and slowest requests.",
    sections=(NOW, QUOTAS, WORK, MONEY),
    variables=(ONE_TEAM, MODEL),
)
