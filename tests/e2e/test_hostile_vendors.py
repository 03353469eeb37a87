"""Lying vendors: effects of a reply on callers, ledger and log. Truncated replies: tools/faults."""

import base64
import json
from collections.abc import Iterator

import httpx2
import psutil
import pytest

from tests.simulators.server import Answer, Simulator
from tests.support.gateway import GatewayProcess
from tests.support.images import png

MEGABYTE = 1_000_000
IMAGE = b'{"data":[{"b64_json":"AAAA"}]'
FOX = base64.b64encode(png())
NINES = b"9" * 40
BROKEN = (502, "upstream_broken_reply")
SERVED = (200, None)


def drawn(more: bytes) -> bytes:
    return b'{"data":[{"b64_json":"' + FOX + b'"}],' + more + b"}"


@pytest.fixture(autouse=True)
def _still_serves(openai_gateway: GatewayProcess, openai_sim: Simulator, http: httpx2.Client) -> Iterator[None]:
    before = psutil.Process(openai_gateway.pid).memory_info().rss
    yield
    openai_sim.reset()
    assert asked(http, openai_gateway) == SERVED
    assert [line for line in openai_gateway.logged() if line["event"] == "crash"] == []
    assert psutil.Process(openai_gateway.pid).memory_info().rss - before < 100 * MEGABYTE


def post(http: httpx2.Client, gateway: GatewayProcess, **more: object) -> httpx2.Response:
    body = {"model": "gpt-image-2", "prompt": "a fox", "quality": "low", "size": "1024x1024", **more}
    return http.post(f"{gateway.url}/v1/images/generations", json=body, headers=gateway.headers)


def asked(http: httpx2.Client, gateway: GatewayProcess) -> tuple[int, str | None]:
    reply = post(http, gateway)
    return reply.status_code, reply.json().get("error", {}).get("code")


@pytest.mark.parametrize(
    ("body", "comes"),
    [
        (b"[" * 100_000, BROKEN),
        (b'{"data":' + b"[" * 100_000 + b"]" * 100_000 + b"}", BROKEN),
        (IMAGE + b',"x":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}", BROKEN),
        (b'{"data":[{"b64_json":"AA\xff\xff"}]}', BROKEN),
        (b'{"data":[{"b64_json":"AA\\u000a"}]}', BROKEN),
        (b'{"data":[{"b64_json":"AA\\\\/"}]}', BROKEN),
        (b'{"data":[{"b64_json":["AAAA"]}]}', BROKEN),
        (b'{"data":[{"url":"http://127.0.0.1:1/a.png"}]}', BROKEN),
        (b"\0" * MEGABYTE, BROKEN),
        (drawn(b'"size":"999999x999999","quality":"auto","created":-1'), SERVED),
        (drawn(b'"created":' + NINES + b',"background":"\\n\\u001b[31m"'), SERVED),
    ],
    ids=[
        "nested",
        "nested pictures",
        "nested field",
        "not UTF-8",
        "line end",
        "backslash",
        "list",
        "address",
        "zeros",
        "size",
        "created",
    ],
)
def test_a_hostile_reply_has_the_listed_outcome(
    http: httpx2.Client,
    openai_gateway: GatewayProcess,
    openai_sim: Simulator,
    body: bytes,
    comes: tuple[int, str | None],
) -> None:
    openai_sim.answer(Answer(body=body))
    assert asked(http, openai_gateway) == comes


@pytest.mark.parametrize("tokens", [b"9" * 10, b"9223372036854775807", NINES, b"-1"])
def test_impossible_token_counts_are_ignored(
    http: httpx2.Client, openai_gateway: GatewayProcess, openai_sim: Simulator, tokens: bytes
) -> None:
    usage = b'"usage":{"input_tokens":1,"output_tokens":' + tokens + b"}"
    openai_sim.answer(Answer(body=drawn(usage + b',"size":"1024x1024","quality":"low","output_format":"png"')))
    reply = post(http, openai_gateway)
    assert reply.status_code == 200
    assert "usage" not in reply.json()
    assert 0 < float(reply.headers["x-gateway-cost-usd"]) < 0.01


@pytest.mark.parametrize(
    "headers",
    [{"x": "a" * MEGABYTE}, {f"x-{number}": "a" for number in range(10_000)}],
    ids=["a megabyte", "10000 lines"],
)
def test_a_huge_reply_head_is_served_or_an_upstream_error(
    http: httpx2.Client, openai_gateway: GatewayProcess, openai_sim: Simulator, headers: dict[str, str]
) -> None:
    openai_sim.answer(Answer(headers=headers))
    assert asked(http, openai_gateway)[0] in {200, 502}


@pytest.mark.parametrize("header", ["retry-after", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"])
@pytest.mark.parametrize("value", ["-1", "1e400", "nan", "9" * 4000])
def test_invalid_numbers_in_headers_are_ignored(
    http: httpx2.Client, openai_gateway: GatewayProcess, openai_sim: Simulator, header: str, value: str
) -> None:
    openai_sim.answer(Answer(headers={header: value}))
    assert asked(http, openai_gateway) == SERVED


def test_a_vendors_refusal_neither_leaks_secrets_nor_forges_the_log(
    http: httpx2.Client, openai_gateway: GatewayProcess, openai_sim: Simulator
) -> None:
    words = 'no: sk-abcdefgh, org-12345678, https://inside/\n{"event":"forged"}\x1b[31m'
    error = {"message": words, "code": "c" * 5000, "param": "p" * 5000}
    openai_sim.answer(Answer(status=400, body=json.dumps({"error": error}).encode()))
    reply = post(http, openai_gateway)
    body = reply.json()["error"]
    assert reply.status_code == 400
    assert "[removed], [removed], [removed]" in body["message"]
    assert len(reply.content) < 4000
    assert not [line for line in openai_gateway.logged() if line["event"] == "forged"]
    assert not any("\x1b" in line for line in openai_gateway.lines)
