"""One generation per request: across replicas, for SDKs that time out, and after a kill of the generating replica."""

import asyncio
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from service.adapters.embedded_valkey import CACHE_OPTIONS, run_valkey
from service.adapters.redis.result_store import COOLDOWN_SECONDS
from tests.e2e.replicas import EVER, PATH, Start, ask, build_body, change
from tests.simulators.server import Answer, Simulator
from tests.support.environments import sdk_python
from tests.support.frozen_server import frozen_server
from tests.support.gateway import ANSWER_SECONDS, GatewayProcess
from tests.support.gateway_site import await_true

pytest_plugins = ["tests.support.databases"]

MINE: tuple[dict[str, Any], ...] = ({"cache_control": "no-store"}, {"x_gateway_variant": "2"})


def test_identical_requests_are_one_generation(
    start: Start, http: httpx2.Client, openai_sim: Simulator, tmp_path: Path
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
        for number, headers in enumerate(MINE, start=2):
            assert ask(http, gateway, fox, **headers).headers["x-gateway-cache"] in {"bypass", "miss"}
            assert len(openai_sim.requests) == number
        assert ask(http, gateway, fox, who="ads").headers["x-gateway-cache"] == "miss"
        refused = ask(http, gateway, f"another {fox}", cache_control="only-if-cached")
        assert (refused.status_code, refused.json()["error"]["code"]) == (504, "not_cached")

        def booked() -> bool:
            reply = http.get(
                f"{gateway.url}/v1/usage?{EVER}&group_by=cache", headers={"authorization": "Bearer igw_search"}
            )
            by_cache = {row["group"]["cache"]: row for row in reply.json()["data"]}
            return "hit" in by_cache and by_cache["hit"]["saved_usd"] == float(first.headers["x-gateway-cost-usd"])

        await_true(booked)


def test_sixty_four_requests_at_once_on_two_replicas_are_one_generation(
    start: Start, openai_sim: Simulator, tmp_path: Path
) -> None:
    async def storm(urls: list[str]) -> list[httpx2.Response]:
        headers = {"authorization": "Bearer igw_search"}
        async with httpx2.AsyncClient(timeout=60, trust_env=False) as client:
            asked = (
                client.post(urls[number % 2] + PATH, json=build_body(f"an owl {tmp_path}"), headers=headers)
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


@pytest.mark.parametrize("why", ["larger than the cache takes", "the cache is away"])
@pytest.mark.parametrize("key", ["", "one"])
def test_an_uncacheable_result_is_generated_once_for_three_replicas(
    start: Start, openai_sim: Simulator, tmp_path: Path, why: str, key: str
) -> None:
    change(tmp_path, "keep: all ", "keep: linked ")
    more = {"CACHE_REDIS_URL": "redis://127.0.0.1:9"} if why == "the cache is away" else {}
    if not more:
        change(tmp_path, "max_bytes: 16777216", "max_bytes: 100")
    headers = {"authorization": "Bearer igw_search"} | ({"idempotency-key": tmp_path.name} if key else {})

    async def ask_all(urls: list[str]) -> list[httpx2.Response]:
        async with httpx2.AsyncClient(timeout=60, trust_env=False) as client:
            body = build_body(f"an owl {tmp_path}")
            asked = [
                asyncio.create_task(client.post(urls[number % 3] + PATH, json=body, headers=headers))
                for number in range(12)
            ]
            await asyncio.to_thread(openai_sim.await_requests, 1)
            await asyncio.wait(asked, timeout=1)
            openai_sim.release()
            return [*await asyncio.gather(*asked)]

    openai_sim.answer(Answer(hold=True))
    with start(**more) as one, start(**more) as two, start(**more) as three:
        replies = asyncio.run(ask_all([one.url, two.url, three.url]))
    assert [reply.status_code for reply in replies] == [200] * 12
    assert len({reply.json()["data"][0]["b64_json"] for reply in replies}) == 1
    assert sum(float(reply.headers["x-gateway-cost-usd"]) > 0 for reply in replies) == 1
    assert len(openai_sim.requests) == 1


def test_the_generation_of_a_killed_replica_is_not_repeated(
    start: Start, http: httpx2.Client, openai_sim: Simulator, tmp_path: Path
) -> None:
    prompt = f"a crow {tmp_path}"
    openai_sim.answer(Answer(hold=True))
    with start() as leader, start() as other:

        async def leave() -> None:
            headers = {"authorization": "Bearer igw_search"}
            async with httpx2.AsyncClient(timeout=60, trust_env=False) as client:
                asking = asyncio.create_task(client.post(leader.url + PATH, json=build_body(prompt), headers=headers))
                await asyncio.to_thread(openai_sim.await_requests, 1)
                leader.signal(9)
                with pytest.raises(httpx2.HTTPError):
                    await asking

        asyncio.run(leave())
        reply = ask(http, other, prompt)
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "purchase_unconfirmed")
    assert reply.headers["x-should-retry"] == "true"
    assert len(openai_sim.requests) == 1


@pytest.mark.parametrize("cache_control", ["", "no-store", "no-cache"])
def test_an_sdk_that_times_out_gets_the_generated_image_on_its_retry(
    start: Start, openai_sim: Simulator, tmp_path: Path, cache_control: str
) -> None:
    openai_sim.answer(Answer(delay=2.5))
    with start() as gateway:
        script = (
            "import sys\nfrom openai import OpenAI\n"
            "client = OpenAI(base_url=sys.argv[1], api_key='igw_search', timeout=1, max_retries=3)\n"
            "reply = client.images.generate(prompt=sys.argv[2], quality='low', size='1024x1024', "
            "extra_headers={'cache-control': sys.argv[3]})\n"
            "print(len(reply.data[0].b64_json))\n"
        )
        arguments = [f"{gateway.url}/v1", f"a hare {tmp_path}", cache_control]
        done = subprocess.run(
            [sdk_python("new"), "-c", script, *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100
    assert len(openai_sim.requests) == 1


def test_a_hanging_cache_costs_little_time_and_no_image(
    start: Start, http: httpx2.Client, openai_sim: Simulator, tmp_path: Path
) -> None:
    """The cache delays requests at most once a second, for its timeout."""
    folder = tmp_path / "cache"
    with run_valkey(folder, CACHE_OPTIONS) as url, start(CACHE_REDIS_URL=url) as gateway:
        assert ask(http, gateway, f"a jay {tmp_path}").headers["x-gateway-cache"] == "miss"
        assert ask(http, gateway, f"a jay {tmp_path}").headers["x-gateway-cache"] == "hit"
        began = time.monotonic()
        with frozen_server(folder):
            replies = [ask(http, gateway, f"jay {number} {tmp_path}") for number in range(20)]
        took = time.monotonic() - began
        assert {(reply.status_code, reply.headers["x-gateway-cache"]) for reply in replies} == {(200, "miss")}
        assert len(openai_sim.requests) == 21
        metrics = http.get(f"{gateway.url}/metrics").text
        counted = re.search(r"^gateway_cache_errors_total (\S+)$", metrics, re.MULTILINE)
        assert counted
        assert 1 <= float(counted[1]) <= (took + COOLDOWN_SECONDS) / (ANSWER_SECONDS + COOLDOWN_SECONDS)


def test_on_sigterm_a_replica_finishes_its_calls_and_takes_no_new_ones(
    start: Start, openai_sim: Simulator, tmp_path: Path
) -> None:
    change(tmp_path, "grace_seconds: 0", "grace_seconds: 0.2")
    openai_sim.answer(Answer(hold=True))

    async def leave(gateway: GatewayProcess) -> httpx2.Response:
        headers = {"authorization": "Bearer igw_search"}
        async with httpx2.AsyncClient(timeout=60, trust_env=False) as client:
            asking = asyncio.create_task(
                client.post(gateway.url + PATH, json=build_body(f"a heron {tmp_path}"), headers=headers)
            )
            await asyncio.to_thread(openai_sim.await_requests, 1)
            ready = await client.get(f"{gateway.url}/health/ready")
            gateway.signal()
            gone = await until_refused(client, f"{gateway.url}/health/ready")
            openai_sim.release(1)
            assert (ready.status_code, gone) == (200, True)
            return await asking

    with start() as gateway:
        reply = asyncio.run(leave(gateway))
        assert gateway.wait() == 0
    assert (reply.status_code, len(openai_sim.requests)) == (200, 1)


async def until_refused(client: httpx2.AsyncClient, address: str) -> bool:
    """Send requests until the port is closed. Readiness must fail before that.

    A request in the moment of closing gets no response, and is sent again.
    """
    statuses = set()
    while True:
        try:
            statuses.add((await client.get(address)).status_code)
        except httpx2.ConnectError:
            return 503 in statuses
        except (httpx2.RemoteProtocolError, httpx2.ReadError):
            continue


def test_a_call_beyond_the_drain_time_is_left_as_sent(
    start: Start, http: httpx2.Client, openai_sim: Simulator, tmp_path: Path
) -> None:
    change(tmp_path, "drain_seconds: 310", "drain_seconds: 1")
    openai_sim.answer(Answer(hold=True))

    async def leave(gateway: GatewayProcess) -> None:
        headers = {"authorization": "Bearer igw_search"}
        async with httpx2.AsyncClient(timeout=60, trust_env=False) as client:
            asking = asyncio.create_task(
                client.post(gateway.url + PATH, json=build_body(f"a stork {tmp_path}"), headers=headers)
            )
            await asyncio.to_thread(openai_sim.await_requests, 1)
            gateway.signal()
            assert (await asking).status_code == 503

    with start() as gateway:
        asyncio.run(leave(gateway))
        assert gateway.wait() == 0
    with start() as other:
        reply = ask(http, other, f"a stork {tmp_path}")
        assert (reply.status_code, reply.json()["error"]["code"]) == (503, "purchase_unconfirmed")

        def booked() -> bool:
            usage = http.get(
                f"{other.url}/v1/usage?{EVER}&group_by=basis", headers={"authorization": "Bearer igw_search"}
            )
            return any(row["group"]["basis"] == "unconfirmed" for row in usage.json()["data"])

        await_true(booked)
    assert len(openai_sim.requests) == 1
