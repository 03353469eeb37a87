"""The JDK's own HTTP client with its defaults: it offers HTTP/2 in every request over plain http.

Rule: the offer is not accepted, the request is served, and its body is not read as a request. One JVM makes all calls.
"""

import base64
import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.relay import Relay
from tests.support.gateway import GatewayProcess, clean_environment
from tests.support.images import png

CALLS = Path(__file__).parents[1] / "jdk" / "Calls.java"
QUICK_START = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto")
HEADS = re.compile(rb"(?:GET|POST) /v1/[^\r]* HTTP/1\.1\r\n(?:[^\r]+\r\n)+")


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    version: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Seen:
    """Responses by call, and the client's bytes by connection."""

    replies: Mapping[str, Reply]
    sent: list[bytes]


@pytest.fixture(scope="module")
def seen(sandbox_gateway: GatewayProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    photo = tmp_path_factory.mktemp("jdk") / "photo.png"
    photo.write_bytes(png(size=(256, 256)))
    with Relay(sandbox_gateway.url) as relay:
        done = subprocess.run(
            ["java", *QUICK_START, str(CALLS), f"{relay.url}/v1", str(photo)],
            env=clean_environment(OPENAI_API_KEY=sandbox_gateway.key),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        lines = [line.split(" ") for line in done.stdout.splitlines()]
        replies = {name: Reply(int(status), version, base64.b64decode(body)) for name, status, version, body in lines}
        yield Seen(replies, [bytes(sent) for sent in relay.sent])


def test_the_client_generates_edits_and_reads_errors(seen: Seen) -> None:
    statuses = {name: reply.status for name, reply in seen.replies.items()}
    assert statuses == {"generate": 200, "edit": 200, "stream": 200, "refused": 400, "models": 200}
    assert {reply.version for reply in seen.replies.values()} == {"HTTP_1_1"}
    for name in ("generate", "edit"):
        (item,) = json.loads(seen.replies[name].body)["data"]
        assert base64.b64decode(item["b64_json"]).startswith(b"\x89PNG")
    assert json.loads(seen.replies["refused"].body)["error"]["param"] == "n"
    assert "gpt-image-2" in {model["id"] for model in json.loads(seen.replies["models"].body)["data"]}


def test_the_client_reads_a_stream_line_by_line(seen: Seen) -> None:
    lines = seen.replies["stream"].body.decode().splitlines()
    events = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    names = ["image_generation.partial_image", "image_generation.partial_image", "image_generation.completed"]
    assert [event["type"] for event in events] == names
    assert [line.removeprefix("event: ") for line in lines if line.startswith("event: ")] == names


def test_every_request_offers_http_2_and_all_go_over_one_connection(seen: Seen) -> None:
    (sent,) = seen.sent
    heads = [head.lower() for head in HEADS.findall(sent)]
    assert len(heads) == len(seen.replies)
    assert all(b"\r\nupgrade: h2c\r\n" in head for head in heads)
    assert sum(b"\r\ntransfer-encoding: chunked\r\n" in head for head in heads) == 1
