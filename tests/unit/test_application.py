"""Which of two applications a connection is for, and that its paths are opened by its key."""

from typing import Any

import pytest
from litestar import Router
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Receive, Scope, Send

from service.api.application import ADMIN_ROUTES, DATA_ROUTES, AppKind, SplitByPort, routes

HTTP = {"type": "http", "headers": [(b"host", b"x:8081")], "path": "/admin/v1", "client": ("10.0.0.1", 8081)}


async def nothing(*_: object) -> Any:
    raise AssertionError


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        (("127.0.0.1", 8081), "admin"),
        (("::1", 8081), "admin"),
        (("127.0.0.1", 8080), "callers"),
        (("8081", 8080), "callers"),
        (("/run/gateway.sock", None), "callers"),
        (None, "callers"),
    ],
)
async def test_the_port_of_the_socket_decides(server: tuple[str, int | None] | None, expected: str) -> None:
    assert await asked({**HTTP, "server": server}) == [expected]


async def test_the_start_and_the_end_are_the_callers_applications() -> None:
    assert await asked({"type": "lifespan"}) == ["callers"]


def test_no_handler_of_a_plane_goes_by_without_its_key() -> None:
    """What a handler or a router in between did before a request would be done instead of asking for the key."""
    keyed = [each for plane in AppKind for each in routes(plane) if isinstance(each, Router)]
    assert all(router.before_request for router in keyed)
    handlers = [handler for handler in (*DATA_ROUTES, *ADMIN_ROUTES) if isinstance(handler, HTTPRouteHandler)]
    assert len(handlers) == len(DATA_ROUTES) + len(ADMIN_ROUTES)
    assert not [handler for handler in handlers if handler.before_request]


async def asked(scope: Any) -> list[str]:
    """Who was asked."""
    told = list[str]()

    def application(name: str) -> ASGIApp:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            del scope, receive, send
            told.append(name)

        return app

    await SplitByPort(application("callers"), application("admin"), 8081)(scope, nothing, nothing)
    return told
