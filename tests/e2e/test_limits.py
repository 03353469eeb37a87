"""Limits at the caller: refusals with the needed facts, headers on every reply, changes while running."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from service.domain.team_access import key_digest
from tests.simulators.server import Answer, Simulator
from tests.support.gateway import GatewayProcess

CENT = 0.00622  # the worst price of the small image below; it costs a little less


def team(name: str, limits: str) -> str:
    return f"  {name}: {{{limits}, keys: [{{id: {name}, sha256: {key_digest(f'igw_{name}')}}}]}}\n"


TEAMS = "teams:\n" + "".join(
    (
        team("free", "limits: {}"),
        team("slow", "limits: {requests_per_minute: 2, images_per_minute: 100}"),
        team("few", "limits: {images_per_minute: 3}"),
        team("poor", f"limits: {{usd_per_day: {CENT * 1.5}}}"),
        team("broke", "limits: {usd_per_month: 0}"),
        team("careful", f"limits_by_tier: {{high: {{usd_per_day: {CENT}, concurrent_images: 2}}}}"),
        team("upgraded", "limits_by_tier: {high: {usd_per_day: 0.01}}"),
        team("thrifty", f"limits_by_tier: {{low: {{usd_per_day: {CENT}}}}}"),
        team("single", "limits: {concurrent_images: 1}"),
        team("modelled", "limits_by_model: {gpt-image-2: {requests_per_minute: 1}}"),
    )
)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, config: Path) -> Path:
    folder = tmp_path_factory.mktemp("limits") / "config"
    shutil.copytree(config, folder)
    (folder / "teams.yaml").write_text(TEAMS)
    return folder


@pytest.fixture(scope="module")
def gateway(
    tmp_path_factory: pytest.TempPathFactory, settings: Path, openai_server: Simulator
) -> Iterator[GatewayProcess]:
    environment = {
        "IMAGE_GATEWAY_CONFIG": str(settings),
        "OPENAI_API_KEY": "sk-operator",
        "OPENAI_BASE_URL": openai_server.base_url,
    }
    with GatewayProcess(tmp_path_factory.mktemp("state"), environment) as process:
        yield process


class Caller:
    """A caller with the key of a team."""

    def __init__(self, http: httpx2.Client, url: str) -> None:
        self._http = http
        self._url = url

    def ask(self, who: str, headers: dict[str, str] | None = None, **changes: Any) -> httpx2.Response:
        body = {"model": "gpt-image-2", "prompt": "fox", "quality": "low", "size": "1024x1024", **changes}
        sent = {"authorization": f"Bearer igw_{who}", **(headers or {})}
        return self._http.post(f"{self._url}/v1/images/generations", json=body, headers=sent)

    def edit(self, who: str, images: list[dict[str, str]], headers: dict[str, str]) -> httpx2.Response:
        body = {"model": "gpt-image-2", "prompt": "at night", "images": images}
        key = {"authorization": f"Bearer igw_{who}"}
        return self._http.post(f"{self._url}/v1/images/edits", json=body, headers=key | headers)


@pytest.fixture
def caller(http: httpx2.Client, gateway: GatewayProcess, openai_sim: Simulator) -> Caller:
    del openai_sim  # removes queued answers of the test before
    return Caller(http, gateway.url)


def refused(reply: httpx2.Response) -> dict[str, Any]:
    assert reply.status_code == 429, reply.text
    error: dict[str, Any] = reply.json()["error"]
    return error


def test_a_reply_has_the_cost_of_its_image(caller: Caller) -> None:
    reply = caller.ask("free", n=2)
    usage = reply.json()["usage"]
    tokens = usage["input_tokens_details"]["text_tokens"] * 5 + usage["output_tokens"] * 30
    assert reply.headers["x-gateway-cost-usd"] == f"{tokens / 1_000_000:.9f}"
    assert not [name for name in reply.headers if "ratelimit" in name]


def test_too_many_requests_wait(caller: Caller) -> None:
    first = caller.ask("slow", n=2)
    assert first.headers["ratelimit-policy"] == '"images";q=100;w=60, "requests";q=2;w=60'
    assert first.headers["x-ratelimit-remaining-requests"] == "1"
    assert first.headers["x-ratelimit-remaining-images"] == "98"
    assert caller.ask("slow").status_code == 200
    third = caller.ask("slow")
    error = refused(third)
    assert (error["type"], error["code"]) == ("requests", "rate_limit_exceeded")
    assert (error["limit_source"], error["limit"], error["spent"]) == ("team requests_per_minute", 2, 2)
    assert third.headers["x-should-retry"] == "true"
    assert 30 < int(third.headers["retry-after"]) <= 60
    assert third.headers["x-ratelimit-remaining-requests"] == "0"


def test_more_images_than_the_limit_are_refused_without_advice_to_retry(caller: Caller) -> None:
    reply = caller.ask("few", n=4)
    assert refused(reply)["limit_source"] == "team images_per_minute"
    assert reply.headers["x-should-retry"] == "false"
    assert "retry-after" not in reply.headers
    assert caller.ask("few", n=3).status_code == 200


def test_a_budget_is_not_exceeded_and_its_refusal_is_final(caller: Caller) -> None:
    assert caller.ask("poor").status_code == 200
    reply = caller.ask("poor")
    error = refused(reply)
    assert (error["type"], error["code"]) == ("insufficient_quota", "insufficient_quota")
    assert (error["limit_source"], error["limit"]) == ("team usd_per_day", CENT * 1.5)
    assert error["spent"] == pytest.approx(float(caller.ask("free").headers["x-gateway-cost-usd"]))
    assert error["resets_at"].endswith("T00:00:00Z")
    assert reply.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("headers", [{}, {"cache-control": "no-store"}])
def test_a_team_over_its_budget_is_refused_before_a_link_is_fetched(caller: Caller, headers: dict[str, str]) -> None:
    """No host listens at the address, so a fetch would end in a 400."""
    images = [{"image_url": "https://127.0.0.1/fox.png"}]

    admitted = caller.edit("free", images, headers)
    reply = caller.edit("broke", images, headers)

    assert (admitted.status_code, admitted.json()["error"]["code"]) == (400, "invalid_image_url")
    assert refused(reply)["limit_source"] == "team usd_per_month"
    assert reply.headers["x-should-retry"] == "false"


def test_a_budget_of_zero_generates_nothing(caller: Caller, openai_sim: Simulator) -> None:
    assert refused(caller.ask("broke"))["limit_source"] == "team usd_per_month"
    assert openai_sim.requests == []


def test_a_limit_of_a_tier_holds_for_the_tier(caller: Caller) -> None:
    assert refused(caller.ask("careful", quality="high"))["limit_source"] == "tier:high usd_per_day"
    assert refused(caller.ask("careful", quality="auto"))["limit_source"] == "tier:high usd_per_day"
    assert caller.ask("careful").status_code == 200


def test_a_request_without_a_tier_counts_against_the_limit_of_each_tier(caller: Caller) -> None:
    assert caller.ask("thrifty", quality="auto").status_code == 200
    assert caller.ask("thrifty").status_code == 200
    assert refused(caller.ask("thrifty"))["limit_source"] == "tier:low usd_per_day"


def test_an_upgraded_image_counts_against_the_limit_of_the_delivered_tier(
    caller: Caller, http: httpx2.Client, openai_sim: Simulator
) -> None:
    body = {"model": "gpt-image-2", "prompt": "fox", "quality": "high", "size": "1024x1024"}
    high = http.post(f"{openai_sim.base_url}/images/generations", json=body, headers={"authorization": "Bearer sk-x"})
    openai_sim.answer(*[Answer(body=high.content)] * 5)
    first = caller.ask("upgraded", prompt="fox 0")
    assert (first.status_code, float(first.headers["x-gateway-cost-usd"]) > 0.1) == (200, True)
    for number in range(1, 5):
        error = refused(caller.ask("upgraded", prompt=f"fox {number}"))
        assert error["limit_source"] == "tier:high usd_per_day"
    assert error["spent"] == pytest.approx(float(first.headers["x-gateway-cost-usd"]))


def test_a_limit_of_a_model_holds_for_the_model(caller: Caller) -> None:
    assert caller.ask("modelled").status_code == 200
    assert refused(caller.ask("modelled"))["limit_source"] == "model:gpt-image-2 requests_per_minute"
    assert caller.ask("modelled", model="gpt-image-2.5-flare").status_code == 200


def test_an_unbilled_call_releases_its_hold(caller: Caller, openai_sim: Simulator) -> None:
    openai_sim.answer(Answer(status=500, body=b"{}"), Answer(status=429, body=b"{}"))
    assert caller.ask("single").status_code == 502
    assert caller.ask("single").status_code == 429
    assert caller.ask("single").status_code == 200
    assert refused(caller.ask("single", n=2))["limit_source"] == "team concurrent_images"


@pytest.mark.parametrize("tags", ["project=search", "project=search,env=prod"])
def test_valid_tags_are_accepted(caller: Caller, tags: str) -> None:
    assert caller.ask("free", {"x-gateway-tags": tags}).status_code == 200


def test_a_disallowed_tag_is_refused(caller: Caller, openai_sim: Simulator) -> None:
    reply = caller.ask("free", {"x-gateway-tags": "cost-center=7"})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "x-gateway-tags")
    assert openai_sim.requests == []


def test_changed_limits_take_effect_and_invalid_ones_are_refused(
    caller: Caller, gateway: GatewayProcess, settings: Path
) -> None:
    assert caller.ask("free").status_code == 200
    (settings / "teams.yaml").write_text(TEAMS.replace("free: {limits: {}", "free: {limits: {usd_per_day: 0}"))
    gateway.await_logged("settings reloaded")
    assert refused(caller.ask("free"))["limit_source"] == "team usd_per_day"
    (settings / "teams.yaml").write_text("teams: {free: {limits: {usd_per_day: -1}}}")
    refused_line = gateway.await_logged("settings refused")
    assert "$.teams.free.limits.usd_per_day: -1 is not an amount" in refused_line["problem"]
    assert refused(caller.ask("free"))["limit_source"] == "team usd_per_day"


def test_a_file_that_locks_every_caller_out_is_refused(tmp_path: Path, config: Path, http: httpx2.Client) -> None:
    settings = tmp_path / "config"
    shutil.copytree(config, settings)
    file, place = settings / "teams.yaml", "teams.yaml: $.teams: "
    file.write_text(TEAMS)
    environment = {"IMAGE_GATEWAY_CONFIG": str(settings), "OPENAI_API_KEY": "sk-operator"}
    with GatewayProcess(tmp_path / "data", environment, options=()) as gateway:
        file.write_text("teams: {}")
        gateway.await_logged("settings refused", problem=f"{settings}/{place}no team, so no caller could be let in")
        file.write_text("teams: {free: {}}")
        gateway.await_logged(
            "settings refused",
            problem=f"{place}leaves none of the 10 keys that let callers in now, issued ones included. "
            "It is refused while the gateway runs; a restart takes it.",
        )

        reply = http.get(f"{gateway.url}/v1/models", headers={"authorization": "Bearer igw_free"})
        assert reply.status_code == 200
        assert "\ngateway_settings_last_reload_successful 0" in http.get(f"{gateway.url}/metrics").text
