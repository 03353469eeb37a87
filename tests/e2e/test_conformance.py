"""Every row of the mapping from the API to each vendor, checked by the requests at the vendor's simulator.

`make conformance` writes `docs/conformance.md` from this table. The last test fails if they differ.
"""

import json
import os
from pathlib import Path

import httpx2
import pytest

from tests.e2e.conformance_rows import OPENAI, TOGETHER, Row, document
from tests.simulators.recording import Recorded
from tests.simulators.server import Simulator
from tests.support.gateway import GatewayProcess
from tests.support.images import open_image

DOCUMENT = Path(__file__).parents[2] / "docs" / "conformance.md"


@pytest.mark.parametrize("row", OPENAI, ids=lambda row: row.id)
def test_openai(row: Row, openai_gateway: GatewayProcess, openai_sim: Simulator, http: httpx2.Client) -> None:
    check(row, row.send_to(http, openai_gateway), openai_sim, http)


@pytest.mark.parametrize("row", TOGETHER, ids=lambda row: row.id)
def test_together(row: Row, together_gateway: GatewayProcess, together_sim: Simulator, http: httpx2.Client) -> None:
    check(row, row.send_to(http, together_gateway), together_sim, http)


def check(row: Row, reply: httpx2.Response, vendor: Simulator, http: httpx2.Client) -> None:
    if row.outcome == "REJECT":
        assert (reply.status_code, vendor.requests) == (row.status, []), reply.text
        error = reply.json()["error"]
        assert (error["param"], error["code"]) == (row.param, row.code), error
        assert reply.headers["x-should-retry"] == "false"
        return
    assert reply.status_code == 200, reply.text
    check_received(row, vendor.requests)
    check_images(row, streamed(row, reply) if "stream" in row.send else reply.json(), http)


def streamed(row: Row, reply: httpx2.Response) -> dict[str, object]:
    """Convert events to the reply without a stream."""
    events = [json.loads(line[6:]) for line in reply.text.splitlines() if line.startswith("data: ")]
    finished = [event for event in events if event["type"] == "image_generation.completed"]
    assert len(events) - len(finished) == row.previews
    return {"data": [event | {"type": "b64_json"} for event in finished], "size": finished[0]["size"]}


def check_received(row: Row, received: list[Recorded]) -> None:
    assert len(received) == row.calls
    fields = received[0].fields
    assert {name: fields.get(name) for name in row.got} == dict(row.got)
    assert not set(row.not_got) & fields.keys()
    assert [file.part_name for file in received[0].files] == list(row.got_parts)
    assert {file.content_type for file in received[0].files} <= {"image/png", "image/jpeg", "image/webp"}
    for name, start in row.got_starting.items():
        values = fields[name] if isinstance(fields[name], list) else [fields[name]]
        assert all(value.startswith(start) for value in values)


def check_images(row: Row, reply: dict[str, object], http: httpx2.Client) -> None:
    data = reply["data"]
    assert isinstance(data, list)
    assert [item["index"] for item in data] == list(range(row.images))
    for item in data:
        image = open_image(item, http)
        assert image.format == row.drawn, (image.format, reply.get("output_format"))
        assert reply["size"] == f"{image.width}x{image.height}"


def test_the_document_equals_the_rows() -> None:
    text = document()
    if os.environ.get("WRITE_CONFORMANCE"):
        DOCUMENT.write_text(text)
    assert DOCUMENT.read_text() == text, "run `make conformance`"
