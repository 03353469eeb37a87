"""Bought once: across processes, for SDKs that lose patience, and when whoever buys is killed."""

import asyncio
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from service.domain.teams import digest_of
from tests.chaos.site import await_true
from tests.e2e.test_sdks import SDKS
from tests.gateway import GatewayProcess
from tests.simulators.server import Answer, Simulator

pytest_plugins = ["tests.databases"]

ROOT = Path(__file__).parents[2]
TEAMS = "teams:\n" + "".join(
    f"  {name}: {{keys: [{{id: {name}, sha256: {digest_of(f'igw_{name}')}}}]}}\n" for name in ("search", "ads")
)
PATH = "/v1/images/generations"


@pytest.fixture
def start(
    tmp_path: Path, redis_url: str, new_database: Callable[[str], str], openai_sim: Simulator
) -> Callable[[], GatewayProcess]:
    """Replicas on the same stores, with the shipped settings."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    (tmp_path / "config" / "teams.yaml").write_text(TEAMS)
    settings = tmp_path / "config" / "gateway.yaml"
    settings.write_text(settings.read_text().replace("lease_seconds: 60", "lease_seconds: 2"))
    environment = {
        "IMAGE_GATEWAY_CONFIG": str(tmp_path / "config"),
        "OPENAI_API_KEY": "sk-operator",
        "OPENAI_BASE_URL": openai_sim.base_url,
        "REDIS_URL": redis_url,
        "DATABASE_URL": new_database("sqlite"),
    }
    return lambda: GatewayProcess(tmp_path / "data", environment, options=())


def wish(prompt: str) -> dict[str, str]:
    return {"prompt": prompt, "quality": "low", "size": "1024x1024"}


def ask(
    http: httpx2.Client, gateway: GatewayProcess, prompt: str, who: str = "search", **headers: str
) -> httpx2.Response:
    given = {"authorization": f"Bearer igw_{who}", **{name.replace("_", "-"): text for name, text in headers.items()}}
    return http.post(gateway.url + PATH, json=wish(prompt), headers=given)


def test_the_same_is_bought_once(
    start: Callable[[], GatewayProcess], http: httpx2.Client, openai_sim: Simulator, tmp_path: Path
) -> None:
    fox = f"a fox {tmp_path}"
    with start() as gateway:
        first, second = ask(http, gateway, fox), ask(http, gateway, fox)
        assert [reply.headers["x-gateway-cache"] for reply in (first, second)] == ["miss", "hit"]
        assert float(first.headers["x-gateway-cost-usd"]) > 0
        assert (second.headers["x-gateway-cost-usd"], "age" in second.headers) == ("0.000000000", True)
        assert first.json()["data"][0]["b64_json"] == second.json()["data"][0]["b64_json"]
        assert first.json()["usage"] == second.json()["usage"]
        assert len(openai_sim.requests) == 1
        for number, headers in enumerate(({"cache_control": "no-store"}, {"x_gateway_variant": "2"}), start=2):
            assert ask(http, gateway, fox, **headers).headers["x-gateway-cache"] in {"bypass", "miss"}
            assert len(openai_sim.requests) == number
        assert ask(http, gateway, fox, who="ads").headers["x-gateway-cache"] == "miss"
        refused = ask(http, gateway, f"another {fox}", cache_control="only-if-cached")
        assert (refused.status_code, refused.json()["error"]["code"]) == (504, "not_cached")

        def booked() -> bool:
            reply = http.get(f"{gateway.url}/v1/usage?group_by=cache", headers={"authorization": "Bearer igw_search"})
            found = {row["group"]["cache"]: row for row in reply.json()["data"]}
            return "hit" in found and found["hit"]["saved_usd"] == float(first.headers["x-gateway-cost-usd"])

        await_true(booked)


def test_sixty_four_at_once_on_two_processes_are_one_purchase(
    start: Callable[[], GatewayProcess], openai_sim: Simulator, tmp_path: Path
) -> None:
    async def storm(urls: list[str]) -> list[httpx2.Response]:
        headers = {"authorization": "Bearer igw_search"}
        async with httpx2.AsyncClient(timeout=60, trust_env=False) as client:
            asked = (
                client.post(urls[number % 2] + PATH, json=wish(f"an owl {tmp_path}"), headers=headers)
                for number in range(64)
            )
            return [*await asyncio.gather(*asked)]

    openai_sim.answer(Answer(hold=True))
    with start() as one, start() as two:
        openai_sim.release(1)
        replies = asyncio.run(storm([one.url, two.url]))
    assert {reply.status_code for reply in replies} == {200}
    assert len({reply.json()["data"][0]["b64_json"] for reply in replies}) == 1
    assert sum(float(reply.headers["x-gateway-cost-usd"]) > 0 for reply in replies) == 1
    assert len(openai_sim.requests) == 1


def test_what_a_killed_process_was_buying_is_not_bought_again(
    start: Callable[[], GatewayProcess], http: httpx2.Client, openai_sim: Simulator, tmp_path: Path
) -> None:
    prompt = f"a crow {tmp_path}"
    openai_sim.answer(Answer(hold=True))
    with start() as leader, start() as other:

        async def leave() -> None:
            headers = {"authorization": "Bearer igw_search"}
            async with httpx2.AsyncClient(timeout=60, trust_env=False) as client:
                asking = asyncio.create_task(client.post(leader.url + PATH, json=wish(prompt), headers=headers))
                await asyncio.to_thread(openai_sim.await_requests, 1)
                leader.signal(9)
                with pytest.raises(httpx2.HTTPError):
                    await asking

        asyncio.run(leave())
        reply = ask(http, other, prompt)
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "purchase_unconfirmed")
    assert reply.headers["x-should-retry"] == "true"
    assert len(openai_sim.requests) == 1


def test_an_sdk_that_loses_patience_gets_the_picture_that_was_bought(
    start: Callable[[], GatewayProcess], openai_sim: Simulator, tmp_path: Path
) -> None:
    openai_sim.answer(Answer(delay=2.5))
    with start() as gateway:
        script = (
            "import sys\nfrom openai import OpenAI\n"
            "client = OpenAI(base_url=sys.argv[1], api_key='igw_search', timeout=1, max_retries=3)\n"
            "reply = client.images.generate(prompt=sys.argv[2], quality='low', size='1024x1024')\n"
            "print(len(reply.data[0].b64_json))\n"
        )
        arguments = [f"{gateway.url}/v1", f"a hare {tmp_path}"]
        done = subprocess.run(
            [f"{SDKS}/new/bin/python", "-c", script, *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100
    assert len(openai_sim.requests) == 1
