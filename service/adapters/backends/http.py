"""The HTTP client of vendors: one pool of connections for each backend, one call for each request.

Rule: a call is made once. This module never retries and never follows a redirect, because SDKs, failover and ledger
must each know of every call. A failure before the request's first byte is `UNREACHABLE` or `BUSY`: certainly not
billed. A later failure is `TIMED_OUT` or `BROKEN_REPLY`: it may have been billed.

Fails with: a `Failure` as the reply's outcome. Raises nothing for an error of a vendor or the network.
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
from service.usecases.ports.backends import Backend, Probeable, Reply
from service.usecases.ports.requests import RequestListener, UpstreamRequest

OK, FORBIDDEN = 200, 403
SUCCESSES = range(200, 300)
MODELS_PATH = "/models"
REQUEST_ID, MAX_ID_CHARS = "x-request-id", 100
EVENT_STREAM = "text/event-stream"
IDLE_CONNECTION_SECONDS = 3.0  # shorter than servers' own (uvicorn: 5), so that no call meets a closing connection
MAX_HEADER_BYTES = 65_536
READ_BUFFER_BYTES = 1 << 16  # of a reply, unread; at twice as many bytes the client stops reading the socket

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
    """Address, credentials and bounds of one vendor.

    Attributes:
        api_key: Read again for each call.
        deadline_seconds: Timeout of the whole call.
        write_seconds: Time in which a vendor must take 64 KB of a request.
        pool_seconds: Time in which a call must become free when `max_concurrent_calls` are under way.
        max_reply_bytes: Maximum size of a reply.
        proxy: Default: `HTTPS_PROXY` and `NO_PROXY` of the environment.
        ca_file: Default: `SSL_CERT_FILE` of the environment.
        gateway_id: Sent with the ids of earlier gateways, so that loops are detected.
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
    """A call without a complete reply. `failure` says whether it may have been billed."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class UnusableProxy(ValueError):
    """An unusable proxy. `variable` is its environment variable, or None for the backend's setting."""

    def __init__(self, variable: str | None) -> None:
        super().__init__("the proxy must be an http or https address; SOCKS is not spoken")
        self.variable = variable


class HttpBackend(Backend, Probeable):
    """A vendor behind its dialect. The first call opens a connection.

    Raises:
        UnusableProxy: the proxy is not an http or https address.
        OSError: `ca_file` cannot be read.
    """

    def __init__(self, settings: HttpBackendSettings, dialect: Dialect) -> None:
        self._settings = settings
        self._dialect = dialect
        self._proxy = choose_proxy(settings)
        # True stands for aiohttp's own context, made of the system's certificates at its import.
        self._trust = ssl.create_default_context(cafile=settings.ca_file) if settings.ca_file else True
        self._call_slots = asyncio.Semaphore(settings.max_concurrent_calls)
        self._session: aiohttp.ClientSession | None = None

    @property
    def accepts_links(self) -> bool:
        return self._settings.relays_links

    async def generate(self, request: UpstreamRequest, listener: RequestListener) -> Reply:
        rate_limits: Sequence[RateLimit] = ()
        previews, body = 0, None
        try:
            async with self._open_response(request) as response:
                rate_limits = read_rate_limits(self._dialect.rate_limit_headers, response.headers)
                if response.status in SUCCESSES and response.content_type == EVENT_STREAM:
                    outcome, previews = await self._read_stream(request, response, listener)
                else:
                    body = await self._read_body(response)
                    outcome = TOO_LARGE
        except CallError as failed:
            return Reply(outcome=failed.failure, rate_limits=rate_limits)
        if body is not None:
            # A success with an image is paid, and a success without one may have been billed.
            outcome = (
                self._dialect.read(request, body)
                if response.status in SUCCESSES
                else self._dialect.read_failure(response.status, response.headers, bytes(body))
            )
        return Reply(outcome=_with_cause(outcome, response), rate_limits=rate_limits, previews=previews)

    async def probe(self) -> Failure | None:
        """Fetch the list of models, which is free. Returns the failure of the vendor or the account, if there is one.

        Some keys are for images alone. Then this list is forbidden, and the vendor is healthy.
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
        """Make a call and yield its response. The block reads it; the end of the block ends the call, read or not.

        Raises:
            CallError: the call could not be made, or broke off inside the block.
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
            except (
                OSError,
                aiohttp.ClientError,
            ) as error:  # aiohttp does not wrap the ssl.SSLError of a running stream
                raise CallError(to_failure(error, is_sending=body.is_started)) from error

    @asynccontextmanager
    async def _call_slot(self) -> AsyncIterator[None]:
        """Take a slot for a call. Raises `CallError` if none becomes free within `pool_seconds`."""
        timeout = self._settings.pool_seconds if self._call_slots.locked() else None
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
        """Send the call. aiohttp repeats some requests on a new connection, but never a POST."""
        url = self._settings.base_url + call.path
        headers_with_key = {**headers, **self._key_headers()}
        return self._client().post(url, data=body, headers=headers_with_key, proxy=self._proxy, allow_redirects=False)

    def _hop_headers(self, request: UpstreamRequest) -> dict[str, str]:
        own = self._settings.gateway_id
        return build_hops_header(request.hops, own) if own else {}

    def _key_headers(self) -> dict[str, str]:
        """Build the header of the current key."""
        return {"authorization": f"Bearer {current_text(self._settings.api_key)}"}

    def _client(self) -> aiohttp.ClientSession:
        """Return the session. aiohttp builds one only in a running loop."""
        if self._session is None:
            # No cookies, no decompression, no limit beside `_call_slots`: the session adds nothing to a call.
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
        """Read the body into one buffer of its announced length, so that memory has it once; None if it is too long."""
        content_length, max_bytes, end = response.content_length or 0, self._settings.max_reply_bytes, 0
        if content_length > max_bytes:
            return None
        body = bytearray(content_length)
        async for chunk, _ in response.content.iter_chunks():  # `iter_any` would join chunks
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
        """Pass each complete preview to the listener. Returns the outcome and the number of previews.

        Reading ends with the image.
        """
        events, previews = SseReader(), 0
        try:
            async for chunk, _ in response.content.iter_chunks():
                if is_end_of_body(response.content, chunk):
                    break
                for event in events.feed(chunk):
                    result = self._dialect.read_event(request, event)
                    if isinstance(result, Preview):
                        previews += 1
                        await listener.on_preview(result)
                    elif isinstance(result, Failure) and previews:
                        return replace(result, drawn=True), previews
                    elif result is not None:
                        return result, previews
                    del event, result  # else these megabytes stay in memory until the next event is complete
                if events.buffered_bytes > self._settings.max_reply_bytes:
                    return TOO_LARGE, previews
        except aiohttp.ClientPayloadError:
            return BROKEN_REPLY, previews
        return BROKEN_REPLY, previews  # the stream ended without the image

    async def close(self) -> None:
        """Close every connection."""
        if self._session:
            await self._session.close()


def is_end_of_body(content: aiohttp.StreamReader, chunk: bytes) -> bool:
    """Return whether the body has ended. aiohttp shares one empty body among replies, and signals its end only once."""
    return not chunk and content.at_eof()


def to_failure(error: Exception, *, is_sending: bool) -> Failure:
    """Convert an exception of the client to a failure: before the first sent byte, or after it."""
    if not is_sending:
        failure = PROXY_REFUSED if isinstance(error, aiohttp.ClientHttpProxyError) else UNREACHABLE
    else:
        failure = TIMED_OUT if isinstance(error, TimeoutError) else BROKEN_REPLY
    return replace(failure, cause=describe_cause(error))


def describe_cause(error: Exception) -> str:
    """Describe an error for the log, without an address: a proxy's address may hold a password."""
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"the proxy answers {error.status}"
    unknown = "it did not answer in time" if isinstance(error, TimeoutError) else type(error).__name__
    cause = describe_network_error(error, NETWORK_TEXTS) or unknown
    return f"the proxy: {cause}" if isinstance(error, aiohttp.ClientProxyConnectionError) else cause


def _with_cause(outcome: CallOutcome, response: aiohttp.ClientResponse) -> CallOutcome:
    """Add the vendor's status and request id to a failure."""
    if not isinstance(outcome, Failure):
        return outcome
    request = response.headers.get(REQUEST_ID, "")[:MAX_ID_CHARS]
    return replace(outcome, cause=f"status {response.status}" + (f", request {request}" if request else ""))


def choose_proxy(settings: HttpBackendSettings) -> str | None:
    """Return the proxy to a vendor: from the settings, else from the environment. Raises `UnusableProxy`."""
    vendor = urlsplit(settings.base_url)
    variable, proxy = (None, settings.proxy) if settings.proxy else environment_proxy(vendor.scheme, vendor.netloc)
    if proxy and not is_usable_proxy(proxy):
        raise UnusableProxy(variable)
    return proxy


def is_usable_proxy(text: str) -> bool:
    """Return whether a text is the address of a proxy over http or https."""
    try:
        address = urlsplit(text)
        return address.scheme in {"http", "https"} and bool(address.hostname) and address.port != 0
    except ValueError:
        return False


def environment_proxy(scheme: str, host: str) -> tuple[str | None, str | None]:
    """Return the environment variable of the proxy to a host, and the proxy. Both are None with `NO_PROXY`."""
    proxies = getproxies()
    names = [name for name in (scheme, "all") if proxies.get(name)]
    if not names or proxy_bypass(host):
        return None, None
    proxy = proxies[names[0]].strip()
    return f"{names[0].upper()}_PROXY", proxy if "://" in proxy else f"http://{proxy}"
