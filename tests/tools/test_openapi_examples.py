"""Every example is a request with its reply: the requests are sent again here, unchanged."""

from typing import Any

import httpx2
import pytest

from service.api.openapi.build import build_document
from service.api.openapi.examples import Exchange, load_exchanges
from service.commands.startup import build_openapi
from tools.openapi.story import ROOT, Teller, replies_within_a_day

FRAMEWORKS = {
    "content-type",
    "content-length",
    "transfer-encoding",
    "date",
    "server",
    "connection",
    "x-accel-buffering",
}
HARMLESS = {"content-security-policy", "x-content-type-options"}


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    return build_document(build_openapi(ROOT / "config", {}))


@pytest.fixture(scope="module")
def replies(
    tmp_path_factory: pytest.TempPathFactory, http: httpx2.Client, described: dict[str, Any]
) -> tuple[dict[tuple[str, str], Exchange], Teller]:
    replies, teller = replies_within_a_day(tmp_path_factory.mktemp("story"), http, described)
    return {(sent.operation, sent.name): sent for sent in replies}, teller


@pytest.mark.parametrize("exchange", load_exchanges(), ids=lambda sent: f"{sent.operation}-{sent.name}")
def test_the_reply_equals_the_documented_one(
    replies: tuple[dict[tuple[str, str], Exchange], Teller], exchange: Exchange
) -> None:
    came = replies[0][exchange.operation, exchange.name].reply
    assert came == exchange.reply, "run `make examples openapi` if this is meant"


def test_every_header_of_a_reply_is_documented(
    replies: tuple[dict[tuple[str, str], Exchange], Teller], described: dict[str, Any]
) -> None:
    by_name = {
        described_operation["operationId"]: described_operation
        for methods in described["paths"].values()
        for described_operation in methods.values()
    }
    for operation, status, headers in replies[1].answered:
        response = by_name[operation]["responses"][str(status)]
        if "$ref" in response:
            response = described["components"]["responses"][response["$ref"].rpartition("/")[2]]
        assert headers - FRAMEWORKS - HARMLESS <= set(response["headers"]), (operation, status)


def test_the_name_of_an_example_is_unique() -> None:
    names = [(sent.operation, sent.name) for sent in load_exchanges()]
    assert len(set(names)) == len(names)
    refused = [sent.name for sent in load_exchanges() if sent.reply.status >= 400]
    assert len(set(refused)) == len(refused), "errors stand among the components, where operations have no name"
