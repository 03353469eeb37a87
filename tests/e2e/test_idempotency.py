"""Idempotency-Key over HTTP: an identical reply to the last byte, on every replica, for its team alone."""

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import pytest
import redis

from tests.e2e.replicas import PATH, Start, ask, build_body, change
from tests.simulators.server import Answer, Simulator

pytest_plugins = ["tests.support.databases"]

NO_STORE: dict[str, Any] = {"cache_control": "no-store"}


def test_a_replay_is_identical_to_the_last_byte(
    start: Start, http: httpx2.Client, openai_sim: Simulator, tmp_path: Path
) -> None:
    change(tmp_path, "  # public_url: https://images.example.com ", "  public_url: https://images.example.com ")
    bodies: list[dict[str, object]] = [{}, {"response_format": "url"}, {"n": 2, "background": "opaque"}]
    wishes = [(more, headers) for more in bodies for headers in ({}, NO_STORE)]
    with start() as one, start() as two:
        for number, (more, headers) in enumerate(wishes):
            fox, key = f"fox {number} {tmp_path}", f"{tmp_path.name}-{number}"
            first = ask(http, one, fox, more=more, idempotency_key=key, **headers)
            again = [ask(http, gateway, fox, more=more, idempotency_key=key, **headers) for gateway in (one, two)]
            assert first.status_code == 200
            assert first.headers["x-gateway-cache"] != "replayed"
            assert "idempotent-replayed" not in first.headers
            for reply in again:
                assert (reply.status_code, reply.content) == (200, first.content)
                assert (reply.headers["idempotent-replayed"], reply.headers["x-gateway-cache"]) == ("true", "replayed")
                assert float(reply.headers["x-gateway-cost-usd"]) == 0
                assert reply.headers["x-request-id"] != first.headers["x-request-id"]
    assert len(openai_sim.requests) == len(wishes)


def test_without_an_image_store_the_replay_comes_from_redis(
    start: Start, http: httpx2.Client, openai_sim: Simulator, tmp_path: Path
) -> None:
    change(tmp_path, "keep: all ", "keep: linked ")
    with start() as gateway:
        first, again = (
            ask(http, gateway, f"a fox {tmp_path}", idempotency_key=f"{tmp_path.name}-linked", **NO_STORE)
            for _ in range(2)
        )
    assert again.content == first.content
    assert len(openai_sim.requests) == 1


def test_a_key_is_for_one_request_of_one_team(
    start: Start, http: httpx2.Client, openai_sim: Simulator, tmp_path: Path
) -> None:
    key = f"{tmp_path.name}-one"
    with start() as gateway:
        ask(http, gateway, f"a fox {tmp_path}", idempotency_key=key)
        other = ask(http, gateway, f"an owl {tmp_path}", idempotency_key=key)
        assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_key_reused")
        assert other.headers["x-should-retry"] == "false"
        assert ask(http, gateway, f"an owl {tmp_path}", who="ads", idempotency_key=key).status_code == 200
        wrong = ask(http, gateway, f"a fox {tmp_path}", idempotency_key="")
        assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "idempotency-key")
    assert len(openai_sim.requests) == 2


def test_a_failure_that_may_have_been_billed_is_replayed(
    start: Start, http: httpx2.Client, openai_sim: Simulator, tmp_path: Path
) -> None:
    openai_sim.answer(Answer(fault="close_mid_body"), Answer(status=503, body=b"{}"))
    key = f"{tmp_path.name}-cut"
    with start() as gateway:
        first, again = (ask(http, gateway, f"a fox {tmp_path}", idempotency_key=key) for _ in range(2))
        free, after = (ask(http, gateway, f"an owl {tmp_path}", idempotency_key=f"{key}-503") for _ in range(2))
    assert (first.status_code, again.status_code) == (502, 502)
    assert again.json() == first.json()
    assert ("idempotent-replayed" in first.headers, again.headers["idempotent-replayed"]) == (False, "true")
    assert (free.status_code, after.status_code) == (503, 200)
    assert "idempotent-replayed" not in after.headers


@pytest.mark.parametrize(("setting", "status"), [("wait", 200), ("conflict", 409)])
def test_a_second_request_during_the_first_waits_or_is_a_conflict(
    start: Start, openai_sim: Simulator, tmp_path: Path, setting: str, status: int
) -> None:
    change(tmp_path, "in_progress: wait ", f"in_progress: {setting} ")
    openai_sim.answer(Answer(hold=True))
    headers = {"authorization": "Bearer igw_search", "idempotency-key": f"{tmp_path.name}-{setting}"}

    async def ask_twice(urls: list[str]) -> list[httpx2.Response]:
        async with httpx2.AsyncClient(timeout=60, trust_env=False) as client:
            first = asyncio.create_task(
                client.post(urls[0] + PATH, json=build_body(f"a fox {tmp_path}"), headers=headers)
            )
            await asyncio.to_thread(openai_sim.await_requests, 1)
            second = asyncio.create_task(
                client.post(urls[1] + PATH, json=build_body(f"a fox {tmp_path}"), headers=headers)
            )
            await asyncio.wait([second], timeout=0.5)
            openai_sim.release(1)
            return [await first, await second]

    with start() as one, start() as two:
        first, second = asyncio.run(ask_twice([one.url, two.url]))
    assert (first.status_code, second.status_code) == (200, status)
    if status == 409:
        assert (second.json()["error"]["code"], second.headers["x-should-retry"]) == ("idempotency_key_in_use", "true")
    assert len(openai_sim.requests) == 1


def test_replies_without_cost_do_not_fill_the_store(
    start: Start, http: httpx2.Client, openai_sim: Simulator, tmp_path: Path, redis_url: str
) -> None:
    change(tmp_path, "keep: all ", "keep: linked ")
    fox = f"a fox {tmp_path}"
    with start() as gateway, redis.Redis.from_url(redis_url) as store:
        first = ask(http, gateway, fox)
        for number in range(300):
            free = ask(http, gateway, fox, idempotency_key=f"{tmp_path.name}-{number}")
            assert (free.status_code, free.headers["x-gateway-cache"]) == (200, "hit")
        flights = [*store.scan_iter(match="igw:{search}:flight:key-*", count=1000)]
        again = ask(http, gateway, fox, idempotency_key=f"{tmp_path.name}-299")
        other = ask(http, gateway, f"an owl {tmp_path}", idempotency_key=f"{tmp_path.name}-299")
        results = [*store.scan_iter(match="igw:result:*", count=1000)]
    assert len(flights) == 256
    assert len(results) == 1
    assert again.json()["data"] == first.json()["data"]
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_key_reused")
    assert len(openai_sim.requests) == 1
