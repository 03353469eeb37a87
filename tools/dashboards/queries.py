"""PromQL of the dashboards: each metric and each expression stands once.

Rule: pure text. A matcher is a text such as `model=~"$model"`; `by` is a list of labels such as `model, outcome`.
Grafana replaces `$team`, `$model`, `$backend`, `$__range` and `$__rate_interval`.
"""

IN_TEAMS, IN_TEAM = 'team=~"$team"', 'team="$team"'
IN_MODELS, IN_BACKENDS = 'model=~"$model"', 'backend=~"$backend"'

FAILURES = "upstream_failed|unavailable|internal"
FAILED, GOOD = f'outcome=~"{FAILURES}"', f'outcome=~"served|{FAILURES}"'
NOT_SERVED = 'outcome!="served"'
DELIVERED, NOT_DELIVERED = 'outcome="delivered"', 'outcome!="delivered"'
FOR_IMAGES = 'operation=~"generate|edit",cache!="none"'
UNSURE = 'basis=~"estimated|unconfirmed"'

BUILD = "gateway_build_info"
CACHE_ERRORS = "gateway_cache_errors_total"
CACHE_RESULTS = "gateway_cache_results_total"
COST = "gateway_cost_usd_total"
FIRST_PREVIEW_SECONDS = "gateway_time_to_first_partial_seconds"
FLIGHTS = "gateway_flights_total"
HOLDS = "gateway_holds_total"
IMAGES = "gateway_images_total"
LOOP_LAG_SECONDS = "gateway_event_loop_lag_seconds"
REFUSALS = "gateway_limit_refusals_total"
REQUESTS = "gateway_requests_total"
REQUEST_SECONDS = "gateway_request_duration_seconds"
SAVED = "gateway_saved_usd_total"
SETTINGS_LOADED = "gateway_settings_loaded_timestamp_seconds"
TOKENS = "gateway_tokens_total"
UPSTREAM_CALLS = "gateway_upstream_attempts_total"
UPSTREAM_SECONDS = "gateway_upstream_duration_seconds"

MONTH_LEFT = "((days_in_month() - day_of_month() + 1) * 86400 - time() % 86400)"


def series(metric: str, *matchers: str) -> str:
    """Return the series of a metric that all matchers fit."""
    return f"{metric}{{{','.join(matchers)}}}" if matchers else metric


def aggregate(function: str, by: str = "") -> str:
    """Return the head of an aggregation, such as `max by (team) `."""
    return f"{function} by ({by}) " if by else function


def rate(selector: str, by: str = "") -> str:
    """Return the growth of a counter per second."""
    return f"{aggregate('sum', by)}(rate({selector}[$__rate_interval]))"


def per_hour(selector: str, by: str = "") -> str:
    """Return the growth of a counter per hour."""
    return f"{rate(selector, by)} * 3600"


def per_hour_by_tier(selector: str) -> str:
    """Return the growth of a counter per hour by tier. Models without tiers have a name of their own."""
    return named(per_hour(selector, "tier"), "tier", "no tiers")


def increase(selector: str, by: str = "") -> str:
    """Return the growth of a counter in the range that Grafana shows."""
    return f"{aggregate('sum', by)}(increase({selector}[$__range]))"


def or_zero(expr: str) -> str:
    """Return an expression that is 0 where it has no series."""
    return f"({expr} or vector(0))"


def share(part: str, whole: str) -> str:
    """Return the share that one counter has of another, in the range that Grafana shows."""
    return f"{or_zero(increase(part))} / {increase(whole)}"


def quantile(fraction: float, metric: str, *matchers: str, by: str = "") -> str:
    """Return a quantile of a histogram."""
    buckets = f"{metric}_bucket{{{','.join(matchers)}}}"
    return f"histogram_quantile({fraction}, {rate(buckets, f'le, {by}' if by else 'le')})"


def request_seconds(fraction: float, by: str = "") -> str:
    """Return a quantile of the time that requests for images take."""
    return quantile(fraction, REQUEST_SECONDS, IN_MODELS, FOR_IMAGES, by=by)


def call_seconds(fraction: float, outcome: str, by: str = "") -> str:
    """Return a quantile of the time that calls to vendors take."""
    return quantile(fraction, UPSTREAM_SECONDS, IN_BACKENDS, IN_MODELS, outcome, by=by)


def used_models(requests: str) -> str:
    """Return the models that were asked for in the range that Grafana shows."""
    return f"({increase(requests, 'model')} > 0)"


def of_used_models(expr: str, requests: str) -> str:
    """Return an expression by model, limited to models that were asked for."""
    return f"{expr} and on (model) {used_models(requests)}"


def slowest_requests(requests: str) -> str:
    """Return the ten kinds of request that take longest: 19 of 20 take less."""
    buckets = series(f"{REQUEST_SECONDS}_bucket", IN_MODELS, FOR_IMAGES)
    slow = f"histogram_quantile(0.95, {increase(buckets, 'le, model, tier, operation')})"
    return f"topk(10, {of_used_models(slow, requests)})"


def models_that_end() -> str:
    """Return the seconds that models which were asked for still have."""
    ends = series("gateway_model_shutdown_timestamp_seconds", IN_MODELS)
    return of_used_models(f"(min by (model) ({ends}) - time())", REQUESTS)


def keys_that_end(team: str) -> str:
    """Return the seconds that each key still has."""
    return f"sort(min by (key) ({series('gateway_key_expiry_timestamp_seconds', team)}) - time())"


def named(expr: str, label: str, text: str) -> str:
    """Return an expression whose series have a text where a label is empty."""
    return f'label_replace({expr}, "{label}", "{text}", "{label}", "")'


def largest_first(expr: str) -> str:
    """Return an expression whose series are in the order of their values."""
    return f"sort_desc({expr})"


def saved_share(saved: str, cost: str) -> str:
    """Return the share of what everything would have cost that the cache saved."""
    return f"{increase(saved)} / ({increase(saved)} + {increase(cost)})"


def month_forecast(cost: str, by: str = "") -> str:
    """Return the spending of this month, and the rest of the month at this month's pace.

    The panel's range begins with the month.
    """
    pace = f"sum{f' by ({by})' if by else ''} (rate({cost}[$__range]))"
    left = f"on () group_left () {MONTH_LEFT}" if by else f"scalar({MONTH_LEFT})"
    return f"{increase(cost, by)} + {pace} * {left}"


def budget_used(team: str) -> str:
    """Return the share of each budget that is spent or held."""
    return largest_first(series("team_window_scope:gateway_budget_used:ratio", team))


def budget_burn(team: str) -> str:
    """Return the factor by which each budget is spent faster than evenly."""
    return series("team_window_scope:gateway_budget_burn:ratio", team)


def budget_spent(team: str) -> str:
    """Return US dollars spent of each budget."""
    return series("team_window_scope:gateway_budget_spent_usd:max", team)


def budget_forecast(team: str) -> str:
    """Return US dollars of each budget that will be spent when its window ends, at the present pace."""
    return series("team_window_scope:gateway_budget_forecast_usd:pace", team)


def budget_limit(team: str, by: str) -> str:
    """Return US dollars of each budget."""
    return f"{aggregate('max', by)}({series('gateway_budget_limit_usd', team)})"


def budget_left(*matchers: str, by: str = "") -> str:
    """Return US dollars left of each budget."""
    return f"{aggregate('max', by)}({series('gateway_budget_remaining_usd', *matchers)})"


def open_holds(team: str) -> str:
    """Return the number of open holds."""
    return f"sum({series('gateway_open_holds', team)})"


def held(team: str, by: str = "") -> str:
    """Return US dollars that open holds set aside."""
    return f"{aggregate('sum', by)}({series('gateway_held_usd', team)})"


def availability_errors(window: str) -> str:
    """Return the share of good requests that failed, for all teams."""
    return f"gateway:availability_errors:ratio_rate{window}"


def breaker_states() -> str:
    """Return the state of each backend's breaker: 0 closed, 1 half open, 2 open."""
    return f"{aggregate('max', 'backend')}({series('gateway_breaker_state', IN_BACKENDS)})"


def breakers_not_closed() -> str:
    """Return the number of backends whose breaker is not closed."""
    return f"count({breaker_states()} > 0) or vector(0)"


def exhausted_accounts() -> str:
    """Return 1 for each backend whose account has no credit left, else 0."""
    return f"{aggregate('max', 'backend')}({series('gateway_upstream_exhausted', IN_BACKENDS)})"


def remaining_rate_limit(*matchers: str, by: str = "") -> str:
    """Return the remaining share of the accounts' rate limits."""
    return f"{aggregate('min', by)}({series('gateway_upstream_rate_limit_remaining_ratio', *matchers)})"


def images_in_flight() -> str:
    """Return the number of images that each backend generates now."""
    return f"{aggregate('sum', 'backend')}({series('gateway_images_in_flight', IN_BACKENDS)})"


def breakers_opened() -> str:
    """Return the number of times that breakers opened in five minutes.

    `increase` does not see the first opening of a kind, because the series begins with it.
    """
    openings = series("gateway_breaker_openings_total", IN_BACKENDS)
    return f"clamp_min(sum by (backend, reason) ({openings} - ({openings} offset 5m or {openings} * 0)), 0)"


def deploys() -> str:
    """Return the versions that run and did not five minutes ago."""
    return f"count by (version) ({BUILD}) unless count by (version) ({BUILD} offset 5m)"


def reloads() -> str:
    """Return a value for each time that a replica loaded changed settings."""
    return f"max(changes({SETTINGS_LOADED}[1m])) > 0"


def reloads_refused() -> str:
    """Return a value for each time that a replica refused changed settings."""
    return 'sum(increase(gateway_settings_reloads_total{result="refused"}[1m])) > 0'


def of_gateways(expr: str) -> str:
    """Return an expression of any process, limited to gateways."""
    return f"{expr} and on (instance) {BUILD}"


def settings_versions() -> str:
    """Return the number of versions of the settings that replicas run on."""
    return "count(count by (version) (gateway_settings_info))"


def oldest_entry() -> str:
    """Return the age of the oldest entry that the ledger lacks."""
    return "max(gateway_ledger_oldest_entry_seconds)"
