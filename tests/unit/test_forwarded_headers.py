"""The prefix of a trusted proxy counts if it is a plain path."""

import asyncio
from typing import Any

import pytest

from service.api.http.forwarded_headers import ForwardedHeaders, path_prefix

PROXY, STRANGER = "192.0.2.1", "198.51.100.7"


def seen(peer: str, **fields: str) -> dict[str, Any]:
    scopes: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        del receive, send
        scopes.append(scope)

    headers = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
    scope: Any = {"type": "http", "client": (peer, 1), "scheme": "http", "headers": headers}
    unused: Any = None
    asyncio.run(ForwardedHeaders(app, f"{PROXY},127.0.0.1")(scope, unused, unused))
    return scopes[0]


@pytest.mark.parametrize(("header", "prefix"), [("/images", "/images"), ("/a/b-c/", "/a/b-c"), (" /x ", "/x")])
def test_the_prefix_of_a_trusted_proxy_counts(header: str, prefix: str) -> None:
    scope: Any = seen(PROXY, x_forwarded_prefix=header, x_forwarded_proto="https", x_forwarded_for=STRANGER)
    assert (path_prefix(scope), scope["scheme"], scope["client"][0]) == (prefix, "https", STRANGER)


@pytest.mark.parametrize("header", ["", "/", "images", "//evil.example", "/a//b", "/a?b", "/a b", "https://evil", "/é"])
def test_a_prefix_that_is_not_a_plain_path_is_ignored(header: str) -> None:
    scope: Any = seen(PROXY, x_forwarded_prefix=header)
    assert path_prefix(scope) == ""


def test_the_prefix_of_another_peer_is_ignored() -> None:
    scope: Any = seen(STRANGER, x_forwarded_prefix="/images", x_forwarded_proto="https")
    assert (path_prefix(scope), scope["scheme"]) == ("", "http")
