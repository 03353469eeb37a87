"""Which of two applications a connection is for."""

from typing import Any

import pytest
from litestar.types import ASGIApp, Receive, Scope, Send

from service.api.planes import Planes

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


async def asked(scope: Any) -> list[str]:
    """Who was asked."""
    told = list[str]()

    def application(name: str) -> ASGIApp:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            del scope, receive, send
            told.append(name)

        return app

    await Planes(application("callers"), application("admin"), 8081)(scope, nothing, nothing)
    return told
