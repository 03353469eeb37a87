"""Two ports, two applications: what a team's key opens is on one, what the admin key opens on the other.

Rule: the port on which a connection arrived decides, as the socket says it; nothing that a caller writes (`Host`,
`X-ForwardedHeaders-*`, the path) is looked at. Neither application has a route of the other's, so there is nothing that
a path could be bent to. A connection whose port is not known is a caller's.
"""

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send


class SplitByPort:
    """Wraps both. `admin_port` is that of admin, as it was bound."""

    def __init__(self, app: ASGIApp, admin: ASGIApp, admin_port: int) -> None:
        self._app = app
        self._admin = admin
        self._port = admin_port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection. The server's start and end are the callers' application's: it has the parts."""
        is_admin = scope["type"] == ScopeType.HTTP and _local_port(scope) == self._port
        await (self._admin if is_admin else self._app)(scope, receive, send)


def _local_port(scope: Scope) -> int | None:
    address = scope["server"]
    return address[1] if address else None
