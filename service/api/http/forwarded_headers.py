"""Headers of trusted proxies: the caller's address, the scheme, and the path prefix that a proxy removed.

Rule: only headers of peers in `FORWARDED_ALLOW_IPS` count. `X-Forwarded-Prefix` becomes part of signed addresses, and
never of routing. A prefix that is not a plain path is ignored.
"""

import re

from litestar.types import Scope
from uvicorn._types import ASGIReceiveCallable, ASGISendCallable
from uvicorn._types import Scope as UvicornScope
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

PREFIX_KEY = "image_gateway_prefix"
PREFIX_HEADER = b"x-forwarded-prefix"
PLAIN_PATH = re.compile(rb"((?:/[A-Za-z0-9._~-]{1,100}){1,10})/?")


class ForwardedHeaders(ProxyHeadersMiddleware):
    """The layer that reads the prefix. Its base class knows the trusted peers, and reads address and scheme."""

    async def __call__(self, scope: UvicornScope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Serve one connection."""
        peer = scope.get("client")
        if scope["type"] == "http" and isinstance(peer, tuple) and peer[0] in self.trusted_hosts:
            header_value = next((value for name, value in scope["headers"] if name == PREFIX_HEADER), b"")
            match = PLAIN_PATH.fullmatch(header_value.strip())
            if match:
                scope[PREFIX_KEY] = match[1].decode()  # type: ignore[literal-required]  # our own entry in the ASGI scope
        await super().__call__(scope, receive, send)


def path_prefix(scope: Scope) -> str:
    """Return the prefix that a trusted proxy removed, or an empty text."""
    return str(scope.get(PREFIX_KEY, ""))
