"""The only module that calls backends over HTTP: one pooled client for each, one attempt for each request.

Rule: a call is made once; nothing is retried or redirected here, because the SDKs, the router and the ledger each need
to know. What went wrong before the first byte of the request was `UNREACHABLE` or `BUSY` (certainly not billed); what
went wrong after is `TIMED_OUT` or `BROKEN_REPLY` (may be billed). Never raises for what a vendor or the network does.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from service.adapters.backends.dialect import BROKEN_REPLY, Call, Dialect, read_rate_limits
from service.adapters.backends.request_body import CallBody
from service.adapters.backends.sse_reader import SseReader
from service.adapters.dynamic_text import DynamicText, current_text
from service.adapters.network_error_causes import NETWORK_TEXTS, describe_network_error
from service.domain.errors import Failure, FailureKind
from service.domain.generation import CallOutcome, Preview
from service.domain.loop_detection import build_hops_header
from service.domain.vendor_rate_limits import RateLimit
from service.usecases.ports.backends import Reply
from service.usecases.ports.requests import RequestListener, UpstreamRequest

OK, FORBIDDEN = 200, 403
SUCCESSES = range(200, 300)
MODELS_PATH = "/models"
REQUEST_ID, MAX_ID_CHARS = "x-request-id", 100
EVENT_STREAM = "text/event-stream"
IDLE_CONNECTION_SECONDS = (
    3.0  # shorter than servers keep theirs (uvicorn: 5): no call may meet one that is just being closed
)
MAX_HEADER_BYTES = 65_536
READ_BUFFER_BYTES = 1 << 16  # bytes of a reply that may wait to be read; twice that pauses the reading

BUSY = Failure(
    kind=FailureKind.BUSY, message="Too many calls to the backend are under way.", retry_after=1, asked=False
)
UNREACHABLE = Failure(kind=FailureKind.UNREACHABLE, message="The backend could not be reached.")
PROXY_REFUSED = Failure(kind=FailureKind.UNREACHABLE, message="The proxy to the backend refused.")
NOT_PERMITTED = Failure(kind=FailureKind.NOT_PERMITTED, message="The list of models is not for this key.")
TIMED_OUT = Failure(kind=FailureKind.TIMED_OUT, message="The backend did not answer in time.")
TOO_LARGE = Failure(kind=FailureKind.BROKEN_REPLY, message="The backend's reply is too large.")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpBackendSettings:
    """How to reach one vendor. `deadline_seconds` covers the whole call, `max_reply_bytes` bounds its reply.

    `api_key` is asked for with each call. `gateway_id` goes along with the ids of the gateways before.
    `write_seconds` is how long a vendor may take less than 64 KB of a request. `proxy` and `ca_file` default to
    what the environment says (`HTTPS_PROXY`, `NO_PROXY`, `SSL_CERT_FILE`).
    """

    base_url: str
    api_key: DynamicText = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    deadline_seconds: float = 300.0
    connect_seconds: float = 5.0
    write_seconds: float = 60.0
    pool_seconds: float = 2.0
    probe_seconds: float = 10.0
    max_concurrent_calls: int = 512
    max_reply_bytes: int = 268_435_456
    proxy: str | None = None
    ca_file: str | None = None
    relays_links: bool = False
    gateway_id: str = ""


class CallError(Exception):
    """A call that brought no reply, or not all of it. `failure` is what that means for the money."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class UnusableProxy(ValueError):
    """A proxy that cannot be used. `variable` of the environment names it; None is the setting of the backend."""

    def __init__(self, variable: str | None) -> None:
        super().__init__("the proxy must be an http or https address; SOCKS is not spoken")
        self.variable = variable


class HttpBackend:
    """A vendor behind its dialect. It connects with its first call.

    Raises:
        UnusableProxy: the proxy is not an http or https address.
        OSError: `ca_file` cannot be read.
    """

    def __init__(self, settings: HttpBackendSettings, dialect: Dialect) -> None:
        self.accepts_links = settings.relays_links
        self._settings = settings
        self._dialect = dialect
        self._proxy = choose_proxy(settings)
        # True stands for the client's own context, which was made of the system's certificates when it was imported.
        self._trust = ssl.create_default_context(cafile=settings.ca_file) if settings.ca_file else True
        self._call_slots = asyncio.Semaphore(settings.max_concurrent_calls)
        self._session: aiohttp.ClientSession | None = None

    async def generate(self, request: UpstreamRequest, listener: RequestListener) -> Reply:
        """Make the call, once."""
        rooms: Sequence[RateLimit] = ()
        previews, body = 0, None
        try:
            async with self._open_response(request) as response:
                rooms = read_rate_limits(self._dialect.rate_limit_headers, response.headers)
                if response.status in SUCCESSES and response.content_type == EVENT_STREAM:
                    outcome, previews = await self._read_stream(request, response, listener)
                else:
                    body = await self._read_body(response)
                    outcome = TOO_LARGE
        except CallError as failed:
            return Reply(outcome=failed.failure, headrooms=rooms)
        if body is not None:
            # Any success with an image is a purchase, whatever its status; without one it may be billed.
            outcome = (
                self._dialect.read(request, body)
                if response.status in SUCCESSES
                else self._dialect.read_failure(response.status, response.headers, bytes(body))
            )
        return Reply(outcome=_with_cause(outcome, response), headrooms=rooms, previews=previews)

    async def probe(self) -> Failure | None:
        """Ask for the list of models, which is free; what is wrong with the vendor or the account, if anything.

        Keys may be good for pictures alone, so that this list is forbidden to them: that is nothing wrong.
        """
        url = self._settings.base_url + MODELS_PATH
        try:
            async with (
                asyncio.timeout(self._settings.probe_seconds),
                self._client().get(
                    url, headers=self._key_headers(), proxy=self._proxy, allow_redirects=False
                ) as response,
            ):
                if response.status in {OK, FORBIDDEN}:
                    return None if response.status == OK else NOT_PERMITTED
                body = await self._read_body(response)
        except (OSError, aiohttp.ClientError) as error:
            return to_failure(error, is_sending=False)
        return self._dialect.read_failure(response.status, response.headers, bytes(body or b""))

    @asynccontextmanager
    async def _open_response(self, request: UpstreamRequest) -> AsyncIterator[aiohttp.ClientResponse]:
        """A call whose reply has begun. The block reads it; leaving the block ends the call, read or not.

        Raises:
            CallError: it could not be made, or broke off before the block was left.
        """
        write = self._dialect.write
        call = await asyncio.to_thread(write, request) if request.spec.references else write(request)
        with ExitStack() as readers:
            for _, (_, reader, _) in call.files:
                readers.enter_context(reader)
            body = CallBody(call, self._settings.write_seconds)
            try:
                async with (
                    asyncio.timeout(self._settings.deadline_seconds),
                    self._call_slot(),
                    self._post(call, body, {**request.carried, **self._hop_headers(request)}) as response,
                ):
                    yield response
            except (OSError, aiohttp.ClientError) as error:  # a TLS fault in mid-stream comes as the bare ssl.SSLError
                raise CallError(to_failure(error, is_sending=body.is_started)) from error

    @asynccontextmanager
    async def _call_slot(self) -> AsyncIterator[None]:
        """One of the calls that may be under way at a time. Raises `CallError` if none becomes free soon."""
        timeout = self._settings.pool_seconds if self._call_slots.locked() else None  # there is nothing to wait for
        try:
            async with asyncio.timeout(timeout):
                await self._call_slots.acquire()
        except TimeoutError:
            raise CallError(BUSY) from None
        try:
            yield
        finally:
            self._call_slots.release()

    def _post(
        self, call: Call, body: CallBody, headers: Mapping[str, str]
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """The exchange. The client repeats some requests on a fresh connection, but never a POST."""
        url = self._settings.base_url + call.path
        headers_with_key = {**headers, **self._key_headers()}
        return self._client().post(url, data=body, headers=headers_with_key, proxy=self._proxy, allow_redirects=False)

    def _hop_headers(self, request: UpstreamRequest) -> dict[str, str]:
        own = self._settings.gateway_id
        return build_hops_header(request.hops, own) if own else {}

    def _key_headers(self) -> dict[str, str]:
        """Who calls, as of now."""
        return {"authorization": f"Bearer {current_text(self._settings.api_key)}"}

    def _client(self) -> aiohttp.ClientSession:
        """The connections; the library makes them in a running loop only."""
        if self._session is None:
            settings = self._settings
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ssl=self._trust, keepalive_timeout=IDLE_CONNECTION_SECONDS),
                timeout=aiohttp.ClientTimeout(connect=settings.connect_seconds),
                headers={
                    **settings.headers,
                    "accept": "application/json",
                    "accept-encoding": "identity",
                    "user-agent": "image-gateway",
                },
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                read_bufsize=READ_BUFFER_BYTES,
                max_field_size=MAX_HEADER_BYTES,
            )
        return self._session

    async def _read_body(self, response: aiohttp.ClientResponse) -> bytearray | None:
        """The body in one buffer of its announced length, so that it is in memory once; None if it is too long."""
        content_length, max_bytes, end = response.content_length or 0, self._settings.max_reply_bytes, 0
        if content_length > max_bytes:
            return None
        body = bytearray(content_length)
        async for chunk, _ in response.content.iter_chunks():  # one by one, as they came: `iter_any` would join them
            if is_end_of_body(response.content, chunk):
                break
            start, end = end, end + len(chunk)
            if end > max_bytes:
                return None
            body[start:end] = chunk
        del body[end:]
        return body

    async def _read_stream(
        self, request: UpstreamRequest, response: aiohttp.ClientResponse, listener: RequestListener
    ) -> tuple[CallOutcome, int]:
        """Send the listener each preview as soon as it is whole. Returns the outcome and the number of previews.

        What comes after the image is not waited for.
        """
        events, shown = SseReader(), 0
        try:
            async for piece, _ in response.content.iter_chunks():
                if is_end_of_body(response.content, piece):
                    break
                for event in events.feed(piece):
                    found = self._dialect.read_event(request, event)
                    if isinstance(found, Preview):
                        shown += 1
                        await listener.on_preview(found)
                    elif found is not None:
                        return replace(found, drawn=True) if isinstance(found, Failure) and shown else found, shown
                    del event, found  # megabytes, which would be kept until the next event is whole
                if events.buffered_bytes > self._settings.max_reply_bytes:
                    return TOO_LARGE, shown
        except aiohttp.ClientPayloadError:
            return BROKEN_REPLY, shown
        return BROKEN_REPLY, shown  # it ended without the image

    async def close(self) -> None:
        """Close every connection."""
        if self._session:
            await self._session.close()


def is_end_of_body(content: aiohttp.StreamReader, piece: bytes) -> bool:
    """Is this all? The library has one empty body for all replies without one, and it says that only the first time."""
    return not piece and content.at_eof()


def to_failure(error: Exception, *, is_sending: bool) -> Failure:
    """What an exception of the client means for the money: begun to be sent or not, answered or not."""
    if not is_sending:
        failure = PROXY_REFUSED if isinstance(error, aiohttp.ClientHttpProxyError) else UNREACHABLE
    else:
        failure = TIMED_OUT if isinstance(error, TimeoutError) else BROKEN_REPLY
    return replace(failure, cause=describe_cause(error))


def describe_cause(error: Exception) -> str:
    """Why a call broke off, for the log. Names no address, because the proxy's may hold a password."""
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"the proxy answers {error.status}"
    silent = "it did not answer in time" if isinstance(error, TimeoutError) else type(error).__name__
    cause = describe_network_error(error, NETWORK_TEXTS) or silent
    return f"the proxy: {cause}" if isinstance(error, aiohttp.ClientProxyConnectionError) else cause


def _with_cause(outcome: CallOutcome, response: aiohttp.ClientResponse) -> CallOutcome:
    """Add to a failure what the vendor answered: the status, and the id that the vendor gave the request."""
    if not isinstance(outcome, Failure):
        return outcome
    request = response.headers.get(REQUEST_ID, "")[:MAX_ID_CHARS]
    return replace(outcome, cause=f"status {response.status}" + (f", request {request}" if request else ""))


def choose_proxy(settings: HttpBackendSettings) -> str | None:
    """The proxy to a vendor: the given one, else what the environment says now. Raises `UnusableProxy`."""
    vendor = urlsplit(settings.base_url)
    variable, proxy = (None, settings.proxy) if settings.proxy else environment_proxy(vendor.scheme, vendor.netloc)
    if proxy and not is_usable_proxy(proxy):
        raise UnusableProxy(variable)
    return proxy


def is_usable_proxy(text: str) -> bool:
    """Is it an address that a proxy over http or https can have?"""
    try:
        address = urlsplit(text)
        return address.scheme in {"http", "https"} and bool(address.hostname) and address.port != 0
    except ValueError:
        return False


def environment_proxy(scheme: str, host: str) -> tuple[str | None, str | None]:
    """The variable that names a proxy to a host, and the proxy; `NO_PROXY` makes them None."""
    proxies = getproxies()
    names = [name for name in (scheme, "all") if proxies.get(name)]
    if not names or proxy_bypass(host):
        return None, None
    proxy = proxies[names[0]].strip()
    return f"{names[0].upper()}_PROXY", proxy if "://" in proxy else f"http://{proxy}"
