"""Broken streams: the caller's view, the entry in the ledger, and no leftovers."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import psutil
import pytest

from tests.e2e.replicas import EVER, PATH, Start, ask, build_body, change
from tests.simulators.openai_faults import FAULTS
from tests.simulators.server import Answer, Simulator
from tests.support.gateway import GatewayProcess
from tests.support.gateway_site import await_true

pytest_plugins = ["tests.support.databases"]

KEY = {"authorization": "Bearer igw_search"}
STREAM: dict[str, object] = {"stream": True, "partial_images": 2}
EVENT = "text/event-stream"
COMMENT = ": nothing yet"
PARTIAL = (
    b'event: image_generation.partial_image\ndata: {"type":"image_generation.partial_image","b64_json":"AAAA",'
    b'"created_at":1,"size":"1024x1024","quality":"low","background":"opaque","output_format":"png",'
    b'"partial_image_index":0}\n\n'
)
REPEATS = 50  # five times as many as may stay open
POOLED = 10  # connections to stores that may have been opened meanwhile, and are reused


@dataclass(frozen=True)
class Received:
    """A complete stream: the types of its events, and its error, if any."""

    status: int
    types: Sequence[str]
    error: dict[str, Any] | None
    raw: str


def receive(reply: httpx2.Response) -> Received:
    frames = [frame for frame in reply.text.split("\n\n") if frame]
    data = [json.loads(line[6:]) for frame in frames for line in frame.split("\n") if line.startswith("data: ")]
    types = [event["type"].split(".")[-1] for event in data if "type" in event]
    return Received(
        reply.status_code, types, next((event["error"] for event in data if "error" in event), None), reply.text
    )


def answer(body: bytes) -> Answer:
    return Answer(status=200, headers={"content-type": EVENT}, body=body)


@pytest.fixture
def gateway(start: Start) -> Iterator[GatewayProcess]:
    with start() as gateway:
        yield gateway


def rows(http: httpx2.Client, gateway: GatewayProcess) -> dict[str, dict[str, Any]]:
    reply = http.get(f"{gateway.url}/v1/usage?{EVER}&group_by=basis", headers=KEY)
    return {row["group"]["basis"]: row for row in reply.json()["data"]}


def booked_unconfirmed(http: httpx2.Client, gateway: GatewayProcess) -> int:
    entries: int = rows(http, gateway).get("unconfirmed", {"entries": 0})["entries"]
    return entries


CUT_SHORT: dict[str, tuple[Answer, list[str], str]] = {
    "it dies after one preview": (Answer(fault="close_mid_body"), ["partial_image"], "upstream_broken_reply"),
    "it sends an error": (FAULTS["error_in_stream"], ["partial_image"], "moderation_blocked"),
    "it sends garbage": (answer(PARTIAL + b"data: {no json\n\n"), ["partial_image"], "upstream_broken_reply"),
    "it ends without the picture": (answer(PARTIAL), ["partial_image"], "upstream_broken_reply"),
}


def test_an_upstream_that_fails_after_a_preview_ends_the_stream_with_an_error_and_is_booked(
    gateway: GatewayProcess, http: httpx2.Client, openai_sim: Simulator, tmp_path: Path
) -> None:
    for number, (name, (failure, types, code)) in enumerate(CUT_SHORT.items(), start=1):
        openai_sim.answer(failure)
        received = receive(ask(http, gateway, f"{name} {tmp_path}", more=STREAM))
        assert (received.status, received.types, received.error and received.error["code"]) == (200, types, code), name
        assert received.error is not None
        assert received.error.keys() >= {"message", "type", "param", "code"}
        assert COMMENT not in received.raw
        await_true(lambda: booked_unconfirmed(http, gateway) == len(openai_sim.requests))
        assert len(openai_sim.requests) == number
    assert rows(http, gateway).keys() == {"unconfirmed"}
    assert rows(http, gateway)["unconfirmed"]["cost_usd"] > 0


def test_a_stalled_stream_sends_comments_until_its_deadline_and_is_booked(
    start: Start, http: httpx2.Client, openai_sim: Simulator, tmp_path: Path
) -> None:
    change(tmp_path, "deadline_seconds: 300 #", "deadline_seconds: 3 #")
    change(tmp_path, "keepalive_seconds: 15 ", "keepalive_seconds: 0.3 ")
    openai_sim.answer(Answer(fault="stall_mid_body"))
    with start() as gateway:
        reply = receive(ask(http, gateway, f"it stalls {tmp_path}", more=STREAM))
        await_true(lambda: booked_unconfirmed(http, gateway) == 1)
    assert (reply.status, reply.types) == (200, ["partial_image"])
    assert reply.error is not None
    assert reply.error["code"] == "upstream_timeout"
    assert COMMENT in reply.raw


BEFORE: dict[str, tuple[Answer, int, str]] = {
    "a refusal": (FAULTS["moderation_blocked"], 400, "moderation_blocked"),
    "a page": (Answer(fault="not_json"), 502, "upstream_broken_reply"),
    "a stream of nothing": (answer(b""), 502, "upstream_broken_reply"),
    "a stream of comments": (answer(b": hello\n\n"), 502, "upstream_broken_reply"),
    "an error event": (answer(b'data: {"error":{"message":"No.","code":"server_error"}}\n\n'), 502, "upstream_error"),
}


def test_a_failure_before_the_first_event_is_a_status(
    gateway: GatewayProcess, http: httpx2.Client, openai_sim: Simulator, tmp_path: Path
) -> None:
    for name, (failure, status, code) in BEFORE.items():
        openai_sim.answer(failure)
        reply = ask(http, gateway, f"{name} {tmp_path}", more=STREAM)
        assert (reply.status_code, reply.json()["error"]["code"]) == (status, code), name
        assert reply.headers["content-type"] == "application/json"


def test_a_vendors_reply_without_a_stream_is_streamed_to_the_caller(
    gateway: GatewayProcess, http: httpx2.Client, openai_sim: Simulator, tmp_path: Path
) -> None:
    plain = ask(http, gateway, f"plain {tmp_path}", cache_control="no-store")
    openai_sim.answer(Answer(status=200, headers={"content-type": "application/json"}, body=plain.content))
    received = receive(ask(http, gateway, f"plain {tmp_path}", more=STREAM))
    assert (received.status, received.types, received.error) == (200, ["completed"], None)
    await_true(lambda: rows(http, gateway).get("usage", {}).get("entries") == 2)


def test_a_stream_without_usage_is_booked_with_its_previews(
    gateway: GatewayProcess, http: httpx2.Client, openai_sim: Simulator, tmp_path: Path
) -> None:
    last = PARTIAL.replace(b"partial_image", b"completed").replace(b'"completed_index":0', b'"usage":{}')
    openai_sim.answer(answer(PARTIAL * 3 + last))
    received = receive(ask(http, gateway, f"uncounted {tmp_path}", more={"stream": True, "partial_images": 3}))
    assert (received.types, received.error) == (["partial_image"] * 3 + ["completed"], None)
    await_true(lambda: rows(http, gateway).get("estimated", {}).get("entries") == 1)
    assert rows(http, gateway)["estimated"]["cost_usd"] >= (196 + 3 * 100) * 0.00003


def test_a_caller_that_disconnects_after_a_preview_gets_the_image_later(
    gateway: GatewayProcess, http: httpx2.Client, openai_sim: Simulator, tmp_path: Path
) -> None:
    openai_sim.answer(Answer(fault="hold_mid_body"))
    body = build_body(f"left {tmp_path}") | STREAM
    with http.stream("POST", gateway.url + PATH, json=body, headers=KEY) as reply:
        assert next(reply.iter_lines()) == "event: image_generation.partial_image"
    openai_sim.release(1)
    await_true(lambda: rows(http, gateway).get("usage", {}).get("entries") == 1)
    again = receive(ask(http, gateway, f"left {tmp_path}", more=STREAM))
    assert (again.types, len(openai_sim.requests)) == (["completed"], 1)


def test_on_sigterm_the_gateway_finishes_its_streams(start: Start, openai_sim: Simulator, tmp_path: Path) -> None:
    openai_sim.answer(Answer(fault="hold_mid_body"))

    async def run(gateway: GatewayProcess) -> Received:
        async with httpx2.AsyncClient(timeout=60, trust_env=False) as client:
            body = build_body(f"draining {tmp_path}") | STREAM
            async with client.stream("POST", gateway.url + PATH, json=body, headers=KEY) as reply:
                pieces = reply.aiter_raw()
                first = await anext(pieces)
                gateway.signal()
                openai_sim.release(1)
                text = first + b"".join([piece async for piece in pieces])
        return receive(httpx2.Response(reply.status_code, content=text))

    with start() as gateway:
        received = asyncio.run(run(gateway))
        assert gateway.wait() == 0
    assert (received.types, received.error) == (["partial_image", "partial_image", "completed"], None)


def test_after_the_drain_time_streams_end_with_an_error_and_sent_calls_are_booked(
    start: Start, http: httpx2.Client, openai_sim: Simulator, tmp_path: Path
) -> None:
    change(tmp_path, "drain_seconds: 310", "drain_seconds: 1")
    openai_sim.answer(Answer(fault="hold_mid_body"))
    with start() as gateway:
        body = build_body(f"cut {tmp_path}") | STREAM
        with http.stream("POST", gateway.url + PATH, json=body, headers=KEY) as reply:
            lines = reply.iter_lines()
            assert next(lines) == "event: image_generation.partial_image"
            gateway.signal()
            rest = [line for line in lines if line.startswith("data: ")]
        error = json.loads(rest[-1][6:])["error"]
        assert (error["code"], error["may_be_billed"]) == ("gateway_shutting_down", True)
        assert gateway.wait() == 0
    with start() as other:
        await_true(lambda: rows(http, other).get("unconfirmed", {}).get("entries") == 1)


def test_fifty_streams_of_each_ending_leave_no_connection_and_no_call_unbooked(
    gateway: GatewayProcess, http: httpx2.Client, openai_sim: Simulator, tmp_path: Path
) -> None:
    endings = {
        "finished": Answer(),
        "left": Answer(),
        "cut": Answer(fault="close_mid_body"),
        "error": FAULTS["error_in_stream"],
    }
    process = psutil.Process(gateway.pid)

    async def one(client: httpx2.AsyncClient, name: str, number: int) -> None:
        openai_sim.answer(endings[name])
        body = build_body(f"{name} {number} {tmp_path}") | STREAM
        async with client.stream("POST", gateway.url + PATH, json=body, headers=KEY) as reply:
            async for _ in reply.aiter_lines():
                if name == "left":
                    break

    async def run_all(name: str, numbers: range) -> None:
        async with httpx2.AsyncClient(timeout=60, trust_env=False) as client:
            for number in numbers:
                await one(client, name, number)

    for name in endings:
        asyncio.run(run_all(name, range(5)))
    idle = process.num_fds()
    for name in endings:
        asyncio.run(run_all(name, range(5, 5 + REPEATS)))
    vendor = urlsplit(openai_sim.url).port
    await_true(
        lambda: (
            vendor
            not in {
                connection.raddr.port
                for connection in process.net_connections()
                if connection.status == psutil.CONN_ESTABLISHED
            }
        )
    )
    assert process.num_fds() <= idle + POOLED

    def settled() -> bool:
        entries: int = sum(row["entries"] for row in rows(http, gateway).values())
        return entries == len(openai_sim.requests)

    await_true(settled)
    assert not [line for line in gateway.logged() if line["event"] == "crashed"]
