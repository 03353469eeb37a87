"""What a gateway tells Prometheus agrees with what was asked of it, with what its vendor saw, and with its ledger."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.domain.team_access import key_digest
from tests.e2e.replicas import EVER, PATH, Start, ask, build_body, change
from tests.simulators.openai import FAULTS
from tests.simulators.server import Answer, Simulator
from tests.support.gateway import GatewayProcess
from tests.support.gateway_site import await_true
from tests.support.images import png

pytest_plugins = ["tests.support.databases"]

LIMITS = {"search": "{usd_per_day: 50, usd_per_month: 800}", "tight": "{requests_per_minute: 1}"}
TEAMS = "teams:\n" + "".join(
    f"  {name}: {{limits: {limits}, keys: [{{id: {name}, sha256: {key_digest(f'igw_{name}')}}}]}}\n"
    for name, limits in LIMITS.items()
)
Labels = Mapping[str, str]


@dataclass(frozen=True)
class Scrape:
    """Every number of one scrape."""

    samples: tuple[tuple[str, Labels, float], ...]

    def sum(self, name: str, **labels: str) -> float:
        """The sum over what has these labels."""
        return math.fsum(self.by(name, **labels).values())

    def by(self, name: str, *groups: str, **labels: str) -> Counter[tuple[str, ...]]:
        """Sums by the values of some labels, without what is zero."""
        found = Counter[tuple[str, ...]]()
        for sample, said, value in self.samples:
            if sample == f"gateway_{name}" and labels.items() <= said.items():
                found[tuple(said[group] for group in groups)] += value  # type: ignore[assignment]  # numbers are floats
        return +found

    def names(self) -> set[str]:
        return {name for name, _, _ in self.samples}


def scrape(http: httpx2.Client, address: str) -> Scrape:
    reply = http.get(address)
    assert (reply.status_code, reply.headers["content-type"][:24]) == (200, "text/plain; version=0.0.4"[:24])
    families = text_string_to_metric_families(reply.text)
    return Scrape(tuple((each.name, each.labels, each.value) for family in families for each in family.samples))


def address_of(gateway: GatewayProcess) -> str:
    return str(gateway.await_logged("listening")["metrics"])


@pytest.fixture
def watched(start: Start, tmp_path: Path) -> Iterator[GatewayProcess]:
    """A gateway whose metrics have a port of their own."""
    (tmp_path / "config" / "teams.yaml").write_text(TEAMS)
    change(tmp_path, "collect_seconds: 5", "collect_seconds: 0.1")
    change(tmp_path, "max_json_bytes: 67108864", "max_json_bytes: 100000")
    with start(METRICS_PORT="0") as gateway:
        yield gateway


def stream(http: httpx2.Client, gateway: GatewayProcess, prompt: str) -> str:
    body = build_body(prompt) | {"stream": True, "partial_images": 2}
    reply = http.post(gateway.url + PATH, json=body, headers={"authorization": "Bearer igw_search"})
    return reply.text


def edit(http: httpx2.Client, gateway: GatewayProcess) -> httpx2.Response:
    return http.post(
        f"{gateway.url}/v1/images/edits",
        data={"prompt": "a hat", "quality": "low", "size": "1024x1024", "n": "2"},
        files={"image": ("fox.png", png(), "image/png")},
        headers={"authorization": "Bearer igw_search"},
    )


def joined(http: httpx2.Client, gateway: GatewayProcess, sim: Simulator, prompt: str) -> list[str]:
    """Two at once, the second while the first is being drawn."""
    sim.answer(Answer(delay=1.5))
    before = len(sim.requests)
    with ThreadPoolExecutor(1) as other:
        first = other.submit(ask, http, gateway, prompt)
        sim.await_requests(before + 1)
        second = ask(http, gateway, prompt)
        return [first.result().headers["x-gateway-cache"], second.headers["x-gateway-cache"]]


def served(http: httpx2.Client, gateway: GatewayProcess, sim: Simulator) -> Counter[tuple[str, ...]]:
    """Ask for pictures in every way that brings some; what was asked, by operation and cache."""
    assert ask(http, gateway, "a fox").headers["x-gateway-cache"] == "miss"
    assert ask(http, gateway, "a fox").headers["x-gateway-cache"] == "hit"
    assert ask(http, gateway, "an owl", cache_control="no-store").headers["x-gateway-cache"] == "bypass"
    for cache in ("miss", "replayed"):
        assert ask(http, gateway, "a hen", idempotency_key="hen").headers["x-gateway-cache"] == cache
    assert joined(http, gateway, sim, "a cow") == ["miss", "joined"]
    assert stream(http, gateway, "a cat").count("event: image_generation.partial_image") == 2
    assert edit(http, gateway).status_code == 200
    caches = {"miss": 4, "hit": 1, "bypass": 1, "replayed": 1, "joined": 1}
    return Counter({("generate", cache): count for cache, count in caches.items()} | {("edit", "miss"): 1})


def refused(http: httpx2.Client, gateway: GatewayProcess, sim: Simulator) -> Counter[tuple[str, ...]]:
    """Ask in ways that bring nothing; what was asked, by operation and outcome."""
    statuses = [
        ask(http, gateway, "a fox", more={"size": "1x1"}).status_code,
        ask(http, gateway, "a fox", more={"model": "nonesuch"}).status_code,
        ask(http, gateway, "a fox", who="nobody").status_code,
        ask(http, gateway, "a fox" * 50_000).status_code,
        ask(http, gateway, "a fox", cache_control="only-if-cached", x_gateway_variant="7").status_code,
        ask(http, gateway, "a dog", idempotency_key="hen").status_code,
        http.get(f"{gateway.url}/nowhere").status_code,
        http.delete(gateway.url + PATH).status_code,
        http.get(f"{gateway.url}/health/ready").status_code,
    ]
    assert statuses == [400, 404, 401, 413, 504, 422, 404, 405, 200]
    assert [ask(http, gateway, prompt, who="tight").status_code for prompt in ("a bee", "a bug")] == [200, 429]
    for fault, status in (("moderation_blocked", 400), ("invalid_api_key", 502)):
        sim.answer(FAULTS[fault])
        assert ask(http, gateway, f"a {fault}").status_code == status
    return Counter(
        {
            ("generate", "invalid"): 2,
            ("generate", "not_found"): 1,
            ("generate", "unauthenticated"): 1,
            ("generate", "not_cached"): 1,
            ("generate", "conflict"): 1,
            ("generate", "limited"): 1,
            ("generate", "moderated"): 1,
            ("generate", "upstream_failed"): 1,
            ("unknown", "not_found"): 2,
        }
    )


def test_the_numbers_agree(watched: GatewayProcess, http: httpx2.Client, openai_sim: Simulator) -> None:
    by_cache = served(http, watched, openai_sim)
    sim_broke = Answer(status=200, body=b"{", headers={"content-type": "application/json"})
    openai_sim.answer(sim_broke)
    assert ask(http, watched, "a broken reply").status_code == 502
    by_outcome = refused(http, watched, openai_sim)
    by_outcome["generate", "upstream_failed"] += 1
    by_outcome["generate", "served"] = sum(by_cache.values()) - 1 + 1  # and that of the team with a limit
    by_outcome["edit", "served"] = 1
    by_cache["generate", "miss"] += 1
    address = address_of(watched)
    await_true(lambda: scrape(http, address).sum("ledger_entries_written_total") >= sum(by_cache.values()) + 1)
    told = scrape(http, address)
    assert (
        told.by("requests_total", "operation", "outcome", operation="generate")
        + told.by("requests_total", "operation", "outcome", operation="edit")
        + told.by("requests_total", "operation", "outcome", operation="unknown")
        == by_outcome
    )
    assert told.by("requests_total", "operation", "cache", outcome="served") == by_cache
    assert told.sum("requests_total", operation="health") == 0
    seconds = told.by("request_duration_seconds_count", "operation")
    assert seconds == told.by("requests_total", "operation")
    assert told.by("limit_refusals_total", "team", "scope", "limit") == {("tight", "team", "requests_per_minute"): 1}
    check_upstream(told, openai_sim)
    check_money(told, http, watched)
    check_sources(told, http, watched)
    assert told.sum("time_to_first_partial_seconds_count", model="gpt-image-2", backend="openai") == 1
    assert told.by("cache_results_total", "result") == Counter(
        {(cache,): sum(n for (_, each), n in by_cache.items() if each == cache) for _, cache in by_cache}
    )
    assert min(told.sum("cache_bytes_served_total", result=each) for each in ("hit", "joined", "replayed")) > 100
    assert told.sum("flights_total", result="led") >= 5
    assert told.sum("budget_limit_usd", team="search", window="month", scope="team") == 800
    assert {"process_resident_memory_bytes", "gateway_event_loop_lag_seconds_count"} <= told.names()


def check_upstream(told: Scrape, sim: Simulator) -> None:
    """Every call that the vendor saw is counted, by what came of it."""
    attempts = told.by("upstream_attempts_total", "outcome", backend="openai", model="gpt-image-2")
    assert sum(attempts.values()) == len(sim.requests)
    failed = {("moderation_blocked",): 1, ("auth_failed",): 1, ("broken_reply",): 1}
    assert {outcome: count for outcome, count in attempts.items() if outcome != ("delivered",)} == failed
    assert told.by("upstream_duration_seconds_count", "outcome") == attempts


def check_sources(told: Scrape, http: httpx2.Client, gateway: GatewayProcess) -> None:
    """The ledger has as many entries under each word of `x-gateway-cache` as there were replies with it."""
    reply = http.get(f"{gateway.url}/v1/usage?{EVER}&group_by=cache", headers={"authorization": "Bearer igw_search"})
    booked = Counter({row["group"]["cache"]: row["entries"] for row in reply.json()["data"]})
    served = told.by("requests_total", "cache", team="search", outcome="served")
    assert booked == Counter({cache: count for (cache,), count in served.items()}) + Counter(miss=1)  # the broken reply


def check_money(told: Scrape, http: httpx2.Client, gateway: GatewayProcess) -> None:
    """Money, pictures and tokens are those of the ledger, team by team and basis by basis."""
    for team in LIMITS:
        reply = http.get(
            f"{gateway.url}/v1/usage?{EVER}&group_by=basis", headers={"authorization": f"Bearer igw_{team}"}
        )
        usage = reply.json()
        total = usage["total"]
        assert told.sum("cost_usd_total", team=team) == pytest.approx(total["cost_usd"], rel=1e-12)
        assert told.sum("saved_usd_total", team=team) == pytest.approx(total["saved_usd"], rel=1e-12)
        for row in usage["data"]:
            if row["group"]["basis"] != "cache":
                booked = told.sum("cost_usd_total", team=team, basis=row["group"]["basis"])
                assert booked == pytest.approx(row["cost_usd"], rel=1e-12)
    search = http.get(
        f"{gateway.url}/v1/usage?{EVER}&group_by=basis", headers={"authorization": "Bearer igw_search"}
    ).json()
    rows = {row["group"]["basis"]: row for row in search["data"]}
    assert told.sum("images_total", team="search") == rows["usage"]["images"]
    assert told.sum("uncertain_usd_total") == pytest.approx(search["total"]["uncertain_usd"], rel=1e-12) != 0
    assert told.sum("tokens_total", kind="image_out") > 0
    day = {"team": "search", "window": "day", "scope": "team"}
    cost = pytest.approx(search["total"]["cost_usd"], rel=1e-12)
    address = address_of(gateway)
    await_true(lambda: scrape(http, address).sum("budget_spent_usd", **day) == cost)  # it is read now and then
    assert scrape(http, address).sum("budget_remaining_usd", **day) == pytest.approx(50 - search["total"]["cost_usd"])
    await_true(lambda: not scrape(http, address).by("open_holds", "team"))  # as above
    assert scrape(http, address).by("held_usd", "team") == {}


def test_pictures_in_flight_come_down_on_every_way_out(
    watched: GatewayProcess, http: httpx2.Client, openai_sim: Simulator
) -> None:
    """Two are served, one is refused by its vendor, and one has a caller who does not wait for it."""
    address = address_of(watched)

    def in_flight() -> float:
        return scrape(http, address).sum("images_in_flight", backend="openai")

    assert "gateway_images_in_flight" in scrape(http, address).names(), "it is there before the first call"
    openai_sim.answer(Answer(hold=True), Answer(hold=True), replace(FAULTS["moderation_blocked"], hold=True))
    with ThreadPoolExecutor(2) as callers:
        both = [callers.submit(ask, http, watched, prompt, more={"n": n}) for prompt, n in (("ox", 2), ("elk", 3))]
        openai_sim.await_in_flight(2)
        with pytest.raises(httpx2.ReadTimeout):
            http.post(
                watched.url + PATH, json=build_body("hare"), headers={"authorization": "Bearer igw_search"}, timeout=0.5
            )
        openai_sim.await_in_flight(3)
        assert in_flight() == 2 + 3 + 1
        openai_sim.release()
        assert sorted(each.result().status_code for each in both) == [200, 200]
    await_true(lambda: in_flight() == 0)
    statuses = scrape(http, address).by("upstream_attempts_total", "outcome")
    assert statuses == {("delivered",): 2, ("moderation_blocked",): 1}


def test_a_scrape_is_no_request_and_on_a_port_of_its_own_the_only_one(
    watched: GatewayProcess, http: httpx2.Client
) -> None:
    address = address_of(watched)
    before = scrape(http, address).sum("requests_total")
    assert http.get(f"{watched.url}/metrics").status_code == 404
    assert http.get(f"{watched.url}/health/live").status_code == 200
    assert http.get(address.replace("/metrics", "/health/live")).status_code == 404
    assert http.post(address).status_code == 501
    for told in (http.head(address), http.head(f"{address}/")):
        assert (told.status_code, told.content) == (200, b"")
        assert int(told.headers["content-length"]) > 0
    assert http.head(address.replace("/metrics", "/health/live")).status_code == 404
    assert scrape(http, address).sum("requests_total") == before + 1
    assert [line["path"] for line in watched.logged() if line["event"] == "request"] == ["/metrics"]


def test_without_one_they_are_on_the_gateways_port(sandbox_gateway: GatewayProcess, http: httpx2.Client) -> None:
    address = address_of(sandbox_gateway)
    assert address == f"{sandbox_gateway.url}/metrics"
    before = scrape(http, address).sum("requests_total")
    accept = "application/openmetrics-text;version=1.0.0,*/*;q=0.1"
    assert http.get(address, headers={"accept": accept}).text.endswith("# EOF\n")
    assert http.post(address).status_code == 404
    assert scrape(http, address).sum("requests_total") == before + 1
    requests = [line for line in sandbox_gateway.logged() if line["event"] == "request" and line["path"] == "/metrics"]
    assert [line["method"] for line in requests] == ["POST"]


def test_reloads_are_told(watched: GatewayProcess, http: httpx2.Client, tmp_path: Path) -> None:
    address, file = address_of(watched), tmp_path / "config" / "teams.yaml"
    await_true(lambda: bool(scrape(http, address).by("settings_info", "version")))
    (first,) = scrape(http, address).by("settings_info", "version")
    file.write_text("teams: {wrong}")
    await_true(lambda: scrape(http, address).sum("settings_reloads_total", result="refused") == 1)
    assert scrape(http, address).sum("settings_last_reload_successful") == 0
    file.write_text(TEAMS + "  third: {}\n")
    await_true(lambda: scrape(http, address).sum("settings_last_reload_successful") == 1)
    await_true(lambda: [*scrape(http, address).by("settings_info", "version")] != [first])
