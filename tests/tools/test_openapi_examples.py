"""Every example is a request that was sent and the reply that came: they are sent again here, as they stand."""

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
def told(
    tmp_path_factory: pytest.TempPathFactory, http: httpx2.Client, described: dict[str, Any]
) -> tuple[dict[tuple[str, str], Exchange], Teller]:
    told, teller = replies_within_a_day(tmp_path_factory.mktemp("story"), http, described)
    return {(each.operation, each.name): each for each in told}, teller


@pytest.mark.parametrize("exchange", load_exchanges(), ids=lambda each: f"{each.operation}-{each.name}")
def test_the_reply_is_the_documented_one(
    told: tuple[dict[tuple[str, str], Exchange], Teller], exchange: Exchange
) -> None:
    came = told[0][exchange.operation, exchange.name].reply
    assert came == exchange.reply, "run `make examples openapi` if this is meant"


def test_every_header_of_a_reply_is_documented(
    told: tuple[dict[tuple[str, str], Exchange], Teller], described: dict[str, Any]
) -> None:
    by_name = {each["operationId"]: each for methods in described["paths"].values() for each in methods.values()}
    for operation, status, headers in told[1].answered:
        response = by_name[operation]["responses"][str(status)]
        if "$ref" in response:
            response = described["components"]["responses"][response["$ref"].rpartition("/")[2]]
        assert headers - FRAMEWORKS - HARMLESS <= set(response["headers"]), (operation, status)


def test_a_name_stands_for_one_pair() -> None:
    names = [(each.operation, each.name) for each in load_exchanges()]
    assert len(set(names)) == len(names)
    refused = [each.name for each in load_exchanges() if each.reply.status >= 400]
    assert len(set(refused)) == len(refused), "errors stand among the components, where operations have no name"
