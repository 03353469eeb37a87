"""CORS: pages of listed origins may call the gateway as browsers do. No other page may, and no page calls the admin
API.
"""

import json
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.support.gateway import SLOW_STORES, GatewayProcess

PAGE, OTHER = "https://app.example.com", "https://evil.example"
GENERATIONS = "/v1/images/generations"
ADMIN = secrets.token_hex(32)
SDK_HEADERS = (
    "api-key,authorization,cache-control,content-type,idempotency-key,x-gateway-tags,x-stainless-arch,x-stainless-lang,"
    "x-stainless-retry-count,x-stainless-timeout"
)
"""Headers of OpenAI's SDK for JavaScript and of the gateway, as a browser lists them."""

ALLOWED, READABLE = "access-control-allow-origin", "access-control-expose-headers"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, config: Path) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("pages")
    own = folder / "config"
    own.mkdir()
    for name in ("models.yaml", "teams.yaml"):
        (own / name).write_text((config / name).read_text())
    (own / "gateway.yaml").write_text(f"cors: {{origins: ['{PAGE}', 'http://localhost:5173']}}\n{SLOW_STORES}")
    with GatewayProcess(folder / "data", {"IMAGE_GATEWAY_CONFIG": str(own), "ADMIN_API_KEY": ADMIN}) as process:
        yield process


def preflight(http: httpx2.Client, url: str, origin: str, method: str = "POST") -> httpx2.Response:
    headers = {
        "origin": origin,
        "access-control-request-method": method,
        "access-control-request-headers": SDK_HEADERS,
    }
    return http.options(url, headers=headers)


def words(reply: httpx2.Response, header: str) -> set[str]:
    return {word.strip().lower() for word in reply.headers.get(header, "").split(",")}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", GENERATIONS),
        ("POST", "/openai/deployments/gpt-image-2/images/edits"),
        ("POST", "/v1/v1/images/generations"),
        ("GET", "/v1/models"),
        ("GET", "/v1/images/img_0.png"),
        ("DELETE", "/v1/files/img_0"),
    ],
)
def test_a_preflight_needs_no_key_and_allows_the_headers_of_sdks(
    http: httpx2.Client, gateway: GatewayProcess, method: str, path: str
) -> None:
    reply = preflight(http, gateway.url + path, PAGE, method)
    assert (reply.status_code, reply.content) == (204, b"")
    assert (reply.headers[ALLOWED], reply.headers["vary"]) == (PAGE, "origin")
    assert method.lower() in words(reply, "access-control-allow-methods")
    assert words(reply, "access-control-allow-headers") == {"authorization", "*"}
    assert "access-control-allow-credentials" not in reply.headers
    assert reply.headers["access-control-max-age"] == "600"


def test_a_listed_page_generates_and_reads_the_exposed_headers(http: httpx2.Client, gateway: GatewayProcess) -> None:
    """The reply, a refusal, a stream and the image behind its URL are all readable."""
    headers = gateway.headers | {"origin": PAGE}
    body = {"prompt": "a fox", "response_format": "url"}
    drawn = http.post(gateway.url + GENERATIONS, json=body, headers=headers)
    assert drawn.status_code == 200, drawn.text
    (item,) = drawn.json()["data"]
    streamed = http.post(gateway.url + GENERATIONS, json={"prompt": "a fox", "stream": True}, headers=headers)
    refused = http.post(gateway.url + GENERATIONS, json={}, headers=headers)
    unknown = http.get(f"{gateway.url}/v1/models", headers={"origin": PAGE})
    image = http.get(item["url"], headers={"origin": PAGE})
    replies = (drawn, streamed, refused, unknown, image)
    assert [reply.status_code for reply in replies] == [200, 200, 400, 401, 200]
    for reply in replies:
        assert (reply.headers[ALLOWED], reply.headers[READABLE], reply.headers["vary"]) == (PAGE, "*", "origin")
    assert http.get(item["url"]).headers["vary"] == "origin"  # a browser caches it, and requests it again from a page


def test_a_listed_page_reads_the_refusal_of_a_malformed_request(gateway: GatewayProcess) -> None:
    address = urlsplit(gateway.url)
    head = f"POST {GENERATIONS} HTTP/1.1\r\nhost: x\r\norigin: {PAGE}\r\ntransfer-encoding: chunked\r\n"
    with socket.create_connection((address.hostname, address.port), timeout=10) as caller:
        caller.sendall(f"{head}\r\n?\r\n".encode())
        answer = b"".join(iter(lambda: caller.recv(65536), b""))
    headers, _, body = answer.partition(b"\r\n\r\n")
    assert headers.startswith(b"HTTP/1.1 400")
    assert f"{ALLOWED}: {PAGE}".encode() in headers
    assert json.loads(body)["error"]["code"] == "invalid_request"


@pytest.mark.parametrize(
    "origin", [OTHER, "null", f"{PAGE}.evil.example", f"{PAGE}:8443", "http://app.example.com", "*", ""]
)
def test_another_origin_gets_no_cors_headers(http: httpx2.Client, gateway: GatewayProcess, origin: str) -> None:
    asked = preflight(http, gateway.url + GENERATIONS, origin)
    listed = http.get(f"{gateway.url}/v1/models", headers=gateway.headers | {"origin": origin})
    assert (asked.status_code, listed.status_code) == (401, 200)
    for reply in (asked, listed):
        assert not [name for name in reply.headers if name.startswith("access-control-")]
        assert reply.headers["vary"] == "origin"


@pytest.mark.parametrize("path", ["/admin/v1/keys", "/metrics", "/health/ready", "/docs"])
def test_a_page_reaches_no_path_that_callers_do_not_use(
    http: httpx2.Client, gateway: GatewayProcess, path: str
) -> None:
    headers = {"authorization": f"Bearer {ADMIN}", "origin": PAGE}
    for reply in (preflight(http, gateway.url + path, PAGE), http.get(gateway.url + path, headers=headers)):
        assert not [name for name in reply.headers if name.startswith("access-control-")]


def test_options_without_a_preflight_is_unchanged(http: httpx2.Client, gateway: GatewayProcess) -> None:
    assert http.options(f"{gateway.url}/v1/models", headers={"origin": PAGE}).status_code == 401
    named = http.options(f"{gateway.url}/v1/models", headers=gateway.headers | {"origin": PAGE})
    assert (named.status_code, named.headers["allow"]) == (204, "GET, HEAD, OPTIONS")


def test_no_origin_is_allowed_by_default(http: httpx2.Client, sandbox_gateway: GatewayProcess) -> None:
    asked = preflight(http, sandbox_gateway.url + GENERATIONS, PAGE)
    listed = http.get(f"{sandbox_gateway.url}/v1/models", headers=sandbox_gateway.headers | {"origin": PAGE})
    assert (asked.status_code, listed.status_code) == (401, 200)
    for reply in (asked, listed):
        assert not [name for name in reply.headers if name.startswith("access-control-") or name == "vary"]
