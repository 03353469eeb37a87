"""Token usage in replies without cost: that of the generation, or zero where the operator prefers that."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from tests.e2e.replicas import Start, ask, change
from tests.simulators.server import Answer, Simulator

pytest_plugins = ["tests.support.databases"]

NONE = {
    "input_tokens": 0,
    "input_tokens_details": {"text_tokens": 0, "image_tokens": 0},
    "output_tokens": 0,
    "output_tokens_details": {"text_tokens": 0, "image_tokens": 0},
    "total_tokens": 0,
}


def zeroed(tmp_path: Path) -> None:
    change(tmp_path, "  usage: full #", "  usage: zero #")


def completed(reply: httpx2.Response) -> dict[str, object]:
    """Return the last event of a stream."""
    (data,) = re.findall(r"^event: image_generation.completed\ndata: (.+)$", reply.text, re.MULTILINE)
    event: dict[str, object] = json.loads(data)
    return event


def test_a_cache_hit_has_the_usage_of_its_generation(start: Start, http: httpx2.Client, tmp_path: Path) -> None:
    with start() as gateway:
        miss, hit = (ask(http, gateway, f"a fox {tmp_path}") for _ in range(2))
        streamed = ask(http, gateway, f"a fox {tmp_path}", more={"stream": True})
    assert [reply.headers["x-gateway-cache"] for reply in (miss, hit, streamed)] == ["miss", "hit", "hit"]
    assert miss.json()["usage"]["output_tokens"] > 0
    assert miss.json()["usage"] == hit.json()["usage"] == completed(streamed)["usage"]


def test_a_cache_hit_reports_zero_tokens_where_the_operator_prefers_that(
    start: Start, http: httpx2.Client, tmp_path: Path
) -> None:
    zeroed(tmp_path)
    with start() as gateway:
        miss, hit = (ask(http, gateway, f"a fox {tmp_path}") for _ in range(2))
        streamed = ask(http, gateway, f"a fox {tmp_path}", more={"stream": True})
        bypass = ask(http, gateway, f"a fox {tmp_path}", cache_control="no-store")
        tried_again = ask(http, gateway, f"a fox {tmp_path}", x_stainless_retry_count="1")
    full = miss.json()["usage"]
    assert full["output_tokens"] > 0
    assert bypass.json()["usage"] == full
    assert [hit.headers["x-gateway-cache"], hit.json()["usage"]] == ["hit", NONE]
    assert hit.json()["data"][0]["b64_json"] == miss.json()["data"][0]["b64_json"]
    assert completed(streamed)["usage"] == NONE
    assert [tried_again.headers["x-gateway-cache"], tried_again.json()["usage"]] == ["hit", full]


@pytest.mark.parametrize("zero", [True, False])
def test_a_replay_has_the_usage_of_its_first_reply(
    start: Start, http: httpx2.Client, tmp_path: Path, *, zero: bool
) -> None:
    if zero:
        zeroed(tmp_path)
    with start() as gateway:
        for number in range(2):  # a generated reply with a key, and a cache hit with one
            key = f"{tmp_path.name}-{number}"
            first, again = (ask(http, gateway, f"a fox {tmp_path}", idempotency_key=key) for _ in range(2))
            assert first.headers["x-gateway-cache"] == ["miss", "hit"][number]
            assert again.headers["x-gateway-cache"] == "replayed"
            assert again.content == first.content
            assert (first.json()["usage"] == NONE) is (zero and number == 1)


def test_a_joined_reply_reports_zero_tokens_where_the_operator_prefers_that(
    start: Start, http: httpx2.Client, openai_sim: Simulator, tmp_path: Path
) -> None:
    zeroed(tmp_path)
    openai_sim.answer(Answer(hold=True))
    with start() as gateway, ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(ask, http, gateway, f"a fox {tmp_path}") for _ in range(2)]
        openai_sim.release(1)
        replies = {reply.headers["x-gateway-cache"]: reply.json() for reply in (task.result() for task in asked)}
    other = replies.get("joined") or replies["hit"]
    assert other["usage"] == NONE
    assert replies["miss"]["usage"]["output_tokens"] > 0
