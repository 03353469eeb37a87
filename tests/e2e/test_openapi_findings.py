"""Findings of schemathesis and of a review of the docs page: methods, descriptions, and empty headers."""

import re

import httpx2
import pytest

from tests.support.gateway import GatewayProcess

PATHS = [
    ("/v1/images/generations", {"POST"}),
    ("/v1/images/edits", {"POST"}),
    ("/v1/images/img_0.png", {"GET", "HEAD"}),
    ("/v1/files/file-0", {"GET", "DELETE"}),
    ("/v1/models", {"GET"}),
    ("/health/live", {"GET"}),
]
OUTSIDE = re.compile(
    r"""(?:src|href|action|data|poster|srcset)=["']?(?!#|/|data:|openapi\.yaml")[^"'\s>]+|url\(|@import|<script|<iframe"""
)


@pytest.mark.parametrize(("path", "methods"), PATHS)
def test_a_405_lists_the_methods_of_the_path(
    http: httpx2.Client, sandbox_gateway: GatewayProcess, path: str, methods: set[str]
) -> None:
    """The framework omitted `Allow` from its 405, and named one method of several."""
    asked = http.options(sandbox_gateway.url + path, headers=sandbox_gateway.headers)
    assert (asked.status_code, asked.content) == (204, b"")
    refused = http.request("TRACE", sandbox_gateway.url + path, headers=sandbox_gateway.headers)
    assert (refused.status_code, refused.json()["error"]["code"]) == (405, "method_not_allowed")
    offered = methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())
    for reply in (asked, refused):
        assert reply.headers["allow"] == ", ".join(sorted(offered))


def test_a_caller_without_a_key_does_not_learn_the_methods(
    http: httpx2.Client, sandbox_gateway: GatewayProcess
) -> None:
    assert http.options(sandbox_gateway.url + "/v1/models").status_code == 401


def test_an_image_name_that_equals_another_path_is_a_405(http: httpx2.Client, sandbox_gateway: GatewayProcess) -> None:
    reply = http.get(sandbox_gateway.url + "/v1/images/generations")
    assert (reply.status_code, reply.headers["allow"]) == (405, "OPTIONS, POST")


def test_the_docs_page_has_no_external_resources(http: httpx2.Client, sandbox_gateway: GatewayProcess) -> None:
    page = http.get(sandbox_gateway.url + "/docs")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline';")
    assert "http" not in policy
    assert OUTSIDE.findall(re.sub(r"<pre.*?</pre>", "", page.text, flags=re.DOTALL)) == []


def test_the_docs_page_has_all_anchors_and_sections(http: httpx2.Client, sandbox_gateway: GatewayProcess) -> None:
    page = http.get(sandbox_gateway.url + "/docs").text
    anchors, links = set(re.findall(r'id="([^"]+)"', page)), set(re.findall(r'href="#([^"]+)"', page))
    assert links <= anchors, links - anchors
    for part in ("tag-Images", "tag-Admin", "error-LimitReached", "header-retry-after", "schema-ImageEvent"):
        assert part in anchors
    assert "curl https://YOUR_GATEWAY/v1/images/edits" in page
    assert "image_generation.partial_image" in page
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport"' in page


def test_the_description_of_the_api_is_built_once(http: httpx2.Client, sandbox_gateway: GatewayProcess) -> None:
    """Building it takes a replica a tenth of a second, and needs no key."""
    for path in ("/docs", "/openapi.yaml"):
        assert http.get(sandbox_gateway.url + path).content == http.get(sandbox_gateway.url + path).content


def test_an_empty_header_of_tags_is_accepted(http: httpx2.Client, sandbox_gateway: GatewayProcess) -> None:
    headers = sandbox_gateway.headers | {"x-gateway-tags": ""}
    reply = http.post(sandbox_gateway.url + "/v1/images/generations", json={"prompt": "a fox"}, headers=headers)
    assert reply.status_code == 200
