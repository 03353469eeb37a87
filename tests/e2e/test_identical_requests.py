"""Identical requests at once: one image, or n different ones, on several replicas."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import httpx2
import pytest

from tests.e2e.replicas import PATH, Start, ask, build_body, change
from tests.simulators.server import Answer, Simulator

pytest_plugins = ["tests.support.databases"]

AI_SDK = {"user-agent": "ai/6.0.3 ai-sdk/togetherai/2.0.84 ai-sdk/provider-utils/4.0.23 runtime/node.js/24"}
AUTO = {"x-gateway-variant": "auto"}


async def ask_all(
    sim: Simulator, urls: list[str], prompt: str, headers: Mapping[str, str], calls: int
) -> list[httpx2.Response]:
    """Send four calls at once. The vendor replies after `calls` calls."""
    headers = {"authorization": "Bearer igw_search", **headers}
    async with httpx2.AsyncClient(timeout=60, trust_env=False) as client:
        asked = [
            asyncio.create_task(client.post(urls[number % len(urls)] + PATH, json=build_body(prompt), headers=headers))
            for number in range(4)
        ]
        await asyncio.to_thread(sim.await_requests, calls)
        sim.release()
        return [*await asyncio.gather(*asked)]


def image_ids(replies: list[httpx2.Response]) -> set[str]:
    """Return the ids, because the simulator draws equal images."""
    assert {reply.status_code for reply in replies} == {200}
    return {reply.json()["data"][0]["id"] for reply in replies}


@pytest.mark.parametrize("headers", [AUTO, AI_SDK])
def test_four_calls_make_four_images_and_the_next_four_are_hits(
    start: Start, http: httpx2.Client, openai_sim: Simulator, tmp_path: Path, headers: dict[str, str]
) -> None:
    fox = f"a fox {tmp_path}"
    openai_sim.answer(*[Answer(hold=True)] * 4)
    with start() as one, start() as two:
        urls = [one.url, two.url]
        first = asyncio.run(ask_all(openai_sim, urls, fox, headers, 4))
        second = asyncio.run(ask_all(openai_sim, urls, fox, headers, 4))

        assert len(image_ids(first)) == 4
        assert image_ids(second) == image_ids(first)
        assert {reply.headers["x-gateway-cache"] for reply in second} == {"hit"}
        assert len(openai_sim.requests) == 4
        plain = ask(http, one, fox)
        assert (plain.headers["x-gateway-cache"], image_ids([plain]) < image_ids(first)) == ("hit", True)


@pytest.mark.parametrize("where", ["gateway", "team", "key"])
def test_settings_make_requests_vary(start: Start, openai_sim: Simulator, tmp_path: Path, where: str) -> None:
    if where == "gateway":
        change(tmp_path, "in_flight: join #", "in_flight: vary #")
    teams = tmp_path / "config" / "teams.yaml"
    texts = {"gateway": ("", ""), "team": ("in_flight: vary, ", ""), "key": ("in_flight: join, ", ", in_flight: vary")}
    of_team, of_key = texts[where]
    teams.write_text(teams.read_text().replace("{keys: [{id: search", f"{{{of_team}keys: [{{id: search{of_key}"))
    openai_sim.answer(*[Answer(hold=True)] * 4)
    with start() as gateway:
        replies = asyncio.run(ask_all(openai_sim, [gateway.url], f"a fox {tmp_path}", {}, 4))
    assert (len(image_ids(replies)), len(openai_sim.requests)) == (4, 4)


@pytest.mark.parametrize("headers", [{}, AI_SDK | {"x-gateway-variant": "0"}])
def test_requests_join_by_default(start: Start, openai_sim: Simulator, tmp_path: Path, headers: dict[str, str]) -> None:
    openai_sim.answer(Answer(hold=True))
    with start() as gateway:
        replies = asyncio.run(ask_all(openai_sim, [gateway.url], f"a fox {tmp_path}", headers, 1))
    assert (len(image_ids(replies)), len(openai_sim.requests)) == (1, 1)


def test_a_caller_that_repeats_a_request_after_a_disconnect_joins_it(
    start: Start, openai_sim: Simulator, tmp_path: Path
) -> None:
    openai_sim.answer(*[Answer(hold=True)] * 2)

    async def disconnect_and_repeat(urls: list[str]) -> list[httpx2.Response]:
        headers = {"authorization": "Bearer igw_search", **AI_SDK}
        body = build_body(f"a fox {tmp_path}")
        async with httpx2.AsyncClient(timeout=60, trust_env=False) as client:
            stays = asyncio.create_task(client.post(urls[0] + PATH, json=body, headers=headers))
            await asyncio.to_thread(openai_sim.await_requests, 1)
            goes = asyncio.create_task(client.post(urls[0] + PATH, json=body, headers=headers))
            await asyncio.to_thread(openai_sim.await_requests, 2)
            goes.cancel()
            await asyncio.gather(goes, return_exceptions=True)
            await asyncio.to_thread(one.await_logged, "request", status=499)
            again = asyncio.create_task(client.post(urls[1] + PATH, json=body, headers=headers))
            await asyncio.wait([again], timeout=0.5)
            openai_sim.release()
            return [await stays, await again]

    with start() as one, start() as two:
        replies = asyncio.run(disconnect_and_repeat([one.url, two.url]))
    assert (len(image_ids(replies)), len(openai_sim.requests)) == (2, 2)
    assert replies[1].headers["x-gateway-cache"] in {"joined", "hit"}
