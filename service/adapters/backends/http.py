"""The only module that calls backends over HTTP: one pooled client for each, one attempt for each order.

Rule: a call is made once; nothing is retried here, because the SDKs, the router and the ledger each need to know. What
went wrong before the request was on its way is `UNREACHABLE` or `BUSY` (certainly not billed); what went wrong after is
`TIMED_OUT` or `BROKEN_REPLY` (may be billed). Never raises for what a vendor or the network does.
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx2

from service.adapters.backends.dialect import BROKEN, Call, Dialect
from service.domain.errors import Failure, FailureKind
from service.domain.outcomes import Outcome
from service.usecases.ports import Order

OK = 200
KEPT_ALIVE = 32  # more costs CPU on every call: the pool is scanned


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """How to reach one vendor. Times are seconds; `deadline` covers the whole call, `most_bytes` bounds its reply.

    `proxy` and `ca_file` default to what the environment says (`HTTPS_PROXY`, `NO_PROXY`, `SSL_CERT_FILE`).
    """

    base_url: str
    api_key: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    deadline: float = 300.0
    connect_seconds: float = 5.0
    write_seconds: float = 60.0
    pool_seconds: float = 2.0
    most_calls: int = 512
    most_bytes: int = 268_435_456
    proxy: str | None = None
    ca_file: str | None = None
    relays_links: bool = False


class HttpBackend:
    """A vendor behind its dialect. Build once: the first client of a process takes 0.2 s to read the certificates."""

    def __init__(self, settings: HttpSettings, dialect: Dialect) -> None:
        self.relays_links = settings.relays_links
        self._settings = settings
        self._dialect = dialect
        self._client = httpx2.AsyncClient(
            base_url=settings.base_url,
            headers={
                **settings.headers,
                "authorization": f"Bearer {settings.api_key}",
                "accept": "application/json",
                "accept-encoding": "identity",
                "user-agent": "image-gateway",
            },
            timeout=httpx2.Timeout(
                settings.deadline,
                connect=settings.connect_seconds,
                write=settings.write_seconds,
                pool=settings.pool_seconds,
            ),
            limits=httpx2.Limits(max_connections=settings.most_calls, max_keepalive_connections=KEPT_ALIVE),
            proxy=settings.proxy,
            verify=ssl.create_default_context(cafile=settings.ca_file) if settings.ca_file else True,
            follow_redirects=False,
        )

    async def buy(self, order: Order) -> Outcome:
        """Make the call, once."""
        write = self._dialect.write
        call = await asyncio.to_thread(write, order) if order.spec.references else write(order)
        try:
            async with asyncio.timeout(self._settings.deadline):
                return await self._exchange(order, call)
        except (OSError, httpx2.HTTPError) as error:  # a TLS fault in mid-stream comes as the bare ssl.SSLError
            return failure_of(error)
        finally:
            for _, (_, reader, _) in call.files:
                reader.close()

    async def _exchange(self, order: Order, call: Call) -> Outcome:
        request = self._client.build_request(
            "POST",
            call.path,
            content=call.json,
            data=call.fields or None,
            files=call.files or None,
            headers={"content-type": "application/json"} if call.json else {},
        )
        response = await self._client.send(request, stream=True)
        try:
            body = await self._read(response)
        finally:
            await response.aclose()
        if body is None:
            return Failure(kind=FailureKind.BROKEN_REPLY, message="The backend's reply is too large.")
        if response.status_code == OK:
            return self._dialect.read(order, body)
        return self._dialect.read_failure(response.status_code, response.headers, bytes(body))

    async def _read(self, response: httpx2.Response) -> bytearray | None:
        """The body in one growing buffer, so that it is in memory once; None if it is longer than allowed."""
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > self._settings.most_bytes:
                return None
        return body

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()


BEFORE_SENDING = {
    httpx2.PoolTimeout: Failure(
        kind=FailureKind.BUSY,
        message="Too many calls to the backend are under way.",
        retry_after=1,
    ),
    httpx2.ConnectTimeout: Failure(kind=FailureKind.UNREACHABLE, message="The backend could not be reached."),
    httpx2.ConnectError: Failure(kind=FailureKind.UNREACHABLE, message="The backend could not be reached."),
    httpx2.ProxyError: Failure(kind=FailureKind.UNREACHABLE, message="The proxy to the backend refused."),
}


def failure_of(error: Exception) -> Failure:
    """What an exception of the client means for the money: sent or not, answered or not."""
    for kind, failure in BEFORE_SENDING.items():
        if isinstance(error, kind):
            return failure
    if isinstance(error, (TimeoutError, httpx2.TimeoutException)):
        return Failure(kind=FailureKind.TIMED_OUT, message="The backend did not answer in time.")
    return BROKEN
