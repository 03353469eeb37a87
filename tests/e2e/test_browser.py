"""A real browser calls a gateway with OpenAI's SDK: from an allowed page, and from another page.

Rule: a page of a listed origin reads responses, refusals, streams, headers and images. A page of another origin reads
nothing and generates nothing. It may show an image whose URL it has. One start of the browser visits both.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.e2e.browser import PageResult, site
from tests.support.gateway import SLOW_STORES, GatewayProcess

PNG = "iVBORw0K"
"""Beginning of a PNG in base64."""


@dataclass(frozen=True, slots=True)
class Visits:
    allowed: PageResult
    other: PageResult
    requests: Sequence[Mapping[str, Any]]
    """Results of both pages, and the log of the gateway."""


@pytest.fixture(scope="module")
def visits(tmp_path_factory: pytest.TempPathFactory, config: Path, http: httpx2.Client) -> Iterator[Visits]:
    folder = tmp_path_factory.mktemp("browser")
    own = folder / "config"
    own.mkdir()
    for name in ("models.yaml", "teams.yaml"):
        (own / name).write_text((config / name).read_text())
    with site("127.0.0.1", "localhost") as pages:
        allowed, other = pages.origins
        (own / "gateway.yaml").write_text(f"cors: {{origins: ['{allowed}']}}\ntags: [project]\n{SLOW_STORES}")
        with GatewayProcess(folder / "data", {"IMAGE_GATEWAY_CONFIG": str(own)}) as gateway:
            body = {"prompt": "a hare", "quality": "low", "response_format": "url"}
            drawn = http.post(f"{gateway.url}/v1/images/generations", json=body, headers=gateway.headers).json()
            results = pages.visit(gateway.url, gateway.key, drawn["data"][0]["url"])
            requests = [line for line in gateway.logged() if line["event"] == "request"]
            yield Visits(results[allowed], results[other], requests)


def test_a_listed_page_generates_and_reads_the_headers_of_the_reply(visits: Visits) -> None:
    drawn = visits.allowed["generate"]
    assert drawn["picture"] == PNG
    assert drawn["headers"].pop("x-request-id").startswith("req_")
    assert drawn["headers"] == {
        "x-gateway-cost-usd": "0.005895000",
        "x-gateway-cache": "miss",
        "idempotent-replayed": None,
    }


def test_a_listed_page_edits_streams_and_deletes_a_file(visits: Visits) -> None:
    assert visits.allowed["edit"] == {"picture": PNG}
    preview = "image_generation.partial_image"
    assert visits.allowed["stream"] == [preview, preview, "image_generation.completed"]
    assert (visits.allowed["file"], visits.allowed["models"]) == (True, 200)


@pytest.mark.parametrize(
    ("step", "kind", "status", "code"),
    [
        ("refused", "BadRequestError", 400, "invalid_value"),
        ("unknown", "AuthenticationError", 401, "invalid_api_key"),
    ],
)
def test_a_listed_page_reads_errors(visits: Visits, step: str, kind: str, status: int, code: str) -> None:
    result = visits.allowed[step]
    assert (result["error"], result["status"], result["code"]) == (kind, status, code)
    assert result["requestID"].startswith("req_")


def test_a_listed_page_reads_a_signed_image_that_the_browser_has_cached(visits: Visits) -> None:
    """The browser has cached the image, from a request without an origin."""
    assert visits.allowed["address"] == {"type": "image/png", "status": 200, "pixels": "data:image/png;base64,"}
    assert (visits.allowed["shown"], visits.allowed["read"]) == (1024, 200)


def test_another_page_shows_an_image_and_reads_nothing(visits: Visits) -> None:
    by_sdk, by_fetch = {"error": "APIConnectionError", "cause": "TypeError"}, {"error": "TypeError"}
    through_sdk = ("generate", "edit", "stream", "refused", "unknown", "file", "address")
    expected = dict.fromkeys(through_sdk, by_sdk) | dict.fromkeys(("models", "read", "admin"), by_fetch)
    assert visits.other == expected | {"shown": 1024}


def test_another_page_generates_nothing(visits: Visits) -> None:
    """Its preflights carry no key and get no permission, so the browser sends nothing after them."""
    drawn = [line["status"] for line in visits.requests if line["method"] == "POST" and "/images/" in line["path"]]
    assert sorted(drawn) == [200, 200, 200, 200, 200, 400, 401]  # the test's own, and those of the listed page
    preflights = {line["status"] for line in visits.requests if line["method"] == "OPTIONS"}
    assert preflights == {204, 401, 404}


def test_no_page_reaches_the_admin_api(visits: Visits) -> None:
    assert visits.allowed["admin"] == {"error": "TypeError"}
