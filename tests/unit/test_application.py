"""The application: routes under their keys, and the split of callers and admin by port."""

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


async def test_the_application_for_callers_gets_the_lifespan() -> None:
    assert await asked({"type": "lifespan"}) == ["callers"]


def test_no_handler_skips_the_check_of_its_key() -> None:
    """A `before_request` of a handler or of a router in between would replace the check of the key."""
    keyed = [route for kind in AppKind for route in routes(kind) if isinstance(route, Router)]
    assert all(router.before_request for router in keyed)
    handlers = [handler for handler in (*DATA_ROUTES, *ADMIN_ROUTES) if isinstance(handler, HTTPRouteHandler)]
    assert len(handlers) == len(DATA_ROUTES) + len(ADMIN_ROUTES)
    assert not [handler for handler in handlers if handler.before_request]


async def asked(scope: Any) -> list[str]:
    """Return the names of the applications that were called."""
    called = list[str]()

    def application(name: str) -> ASGIApp:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            del scope, receive, send
            called.append(name)

        return app

    await SplitByPort(application("callers"), application("admin"), 8081)(scope, nothing, nothing)
    return called
