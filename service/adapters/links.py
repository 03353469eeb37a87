"""Fetches pictures that callers link to, without letting them point the gateway at the inside of its network.

Rule: a host name is resolved once for each hop, every address it has must be permitted (`domain/addresses.py`), and
the checked address itself is dialled, with the certificate checked against the name; so a second, different DNS answer
finds nobody who asks for it. Redirects are hops like the first. Neither proxies nor anything else of the environment
is used, no connection is used twice (a kept one would carry another host's certificate), and nothing is logged.
Whatever the network does is an `UnreachableLink` whose message tells nothing of what lies inside.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import httpx2

from service.domain.addresses import Address, is_plain_name, literal, networks, refused
from service.domain.errors import TooLarge, UnreachableLink, UnreadableFile
from service.domain.images import Reference
from service.domain.sniff import ENOUGH, sniff
from service.usecases.spool import Intake

OK = 200
HTTPS_PORT = 443
MOST_REDIRECTS = 3
MOST_ADDRESSES = 4
CONNECT_SECONDS = 5.0
FAILED = "failed_to_download_image"
MEDIA_TYPES = ("image/png", "image/jpeg", "image/webp")
HEADERS = {
    "accept": ", ".join(MEDIA_TYPES),
    "accept-encoding": "identity",
    "connection": "close",
    "user-agent": "image-gateway",
}

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""From host name and port to IP addresses. Raises `OSError` or `ValueError` where there are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSettings:
    """What may be fetched. `most_bytes` bounds one picture; `seconds` its whole fetch, redirects included.

    `allow_networks` are networks of the operator's own that pictures may come from, such as 10.1.0.0/16. `ca_file`
    holds certificates that are trusted besides the system's.
    """

    most_bytes: int = 50_000_000
    seconds: float = 20.0
    allow_networks: tuple[str, ...] = ()
    allow_ports: tuple[int, ...] = (HTTPS_PORT,)
    ca_file: str | None = None


async def ask_system(host: str, port: int) -> list[str]:
    """The system's answer to what addresses a host has, best first."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class GuardedLinks:
    """A `LinkReader`. Build once: reading the system's certificates takes 0.2 s.

    Raises:
        ValueError: `allow_networks` holds something that is not a network; the message names it.
        OSError: `ca_file` cannot be read.
    """

    def __init__(self, settings: LinkSettings, resolve: Resolve = ask_system) -> None:
        self._settings = settings
        self._resolve = resolve
        self._allowed = networks(settings.allow_networks)
        trust = httpx2.create_ssl_context(trust_env=False)
        if settings.ca_file:
            trust.load_verify_locations(settings.ca_file)
        # The transport below httpx2's client: the client would keep cookies and log every address.
        self._transport = httpx2.AsyncHTTPTransport(
            verify=trust,
            trust_env=False,
            limits=httpx2.Limits(max_keepalive_connections=0),
        )

    async def fetch(self, reference: Reference) -> Reference:
        """The picture behind a link, on disk; its digest is that of its bytes, and the link is gone.

        Raises:
            UnreachableLink: the link may not be followed, or leads nowhere within `seconds`.
            TooLarge: the picture has more than `most_bytes`.
            UnreadableFile: what came is not a PNG, JPEG or WebP picture.
        """
        try:
            async with asyncio.timeout(self._settings.seconds):
                return await self._follow(reference)
        except TimeoutError:
            raise failed(reference.param, f"it took longer than {self._settings.seconds:g} seconds") from None
        except (httpx2.HTTPError, ssl.SSLError):
            raise failed(reference.param, "its host did not answer, or not with valid https") from None

    async def _follow(self, reference: Reference) -> Reference:
        url = self._check(reference.param, "", reference.link or "")
        for _ in range(MOST_REDIRECTS + 1):
            response = await self._open(reference.param, url)
            try:
                if not response.has_redirect_location:
                    return await self._receive(reference.param, response)
                url = self._check(reference.param, url, response.headers["location"])
            finally:
                await response.aclose()
        raise failed(reference.param, f"it redirects more than {MOST_REDIRECTS} times")

    def _check(self, param: str, start: httpx2.URL | str, link: str) -> httpx2.URL:
        """The address that a link means when it stands at `start`. Raises `UnreachableLink` unless its form is good."""
        with suppress(httpx2.InvalidURL, ValueError):
            url = httpx2.URL(start).join(link)
            if url.scheme == "https" and not url.userinfo and port_of(url) in self._settings.allow_ports:
                return url
        ports = " or ".join(map(str, self._settings.allow_ports))
        text = f"{param} must lead to an https address without user name or password, on port {ports}."
        raise UnreachableLink(text, param=param)

    async def _open(self, param: str, url: httpx2.URL) -> httpx2.Response:
        """The answer of the first of the host's addresses that can be connected to."""
        *others, last = (await self._addresses(param, url))[:MOST_ADDRESSES]
        for address in others:
            with suppress(httpx2.ConnectError, httpx2.ConnectTimeout):
                return await self._ask(url, address)
        return await self._ask(url, last)

    async def _addresses(self, param: str, url: httpx2.URL) -> list[Address]:
        """Where a host may be dialled. Unknown hosts and forbidden ones get the same answer: names inside stay secret.

        Raises:
            UnreachableLink: there is no such host, or one of its addresses is refused.
        """
        found = await self._lookup(url)
        permitted = [address for address in found if address and not refused(address, self._allowed)]
        if not found or len(permitted) < len(found):
            text = (
                f"{param} leads to a host that does not exist or may not be fetched from. Use the full name of a host "
                "on the public internet, or of one that the gateway's operator allows."
            )
            raise UnreachableLink(text, param=param)
        return permitted

    async def _lookup(self, url: httpx2.URL) -> list[Address | None]:
        """All of a host's addresses; None stands for one that cannot be read."""
        host = url.raw_host.decode()
        if address := literal(host):
            return [address]
        if not is_plain_name(host):
            return []
        try:
            texts = await self._resolve(host, port_of(url))
        except (OSError, ValueError):
            return []
        return [literal(text) for text in texts]

    async def _ask(self, url: httpx2.URL, address: Address) -> httpx2.Response:
        """Dial an address and ask it for what the URL's own host would be asked for."""
        request = httpx2.Request(
            "GET",
            url.copy_with(host=str(address)),
            headers={"host": url.netloc.decode(), **HEADERS},
            extensions={"sni_hostname": url.raw_host.decode(), "timeout": {"connect": CONNECT_SECONDS}},
        )
        return await self._transport.handle_async_request(request)

    async def _receive(self, param: str, response: httpx2.Response) -> Reference:
        """The picture in an answer. What it is shows in its first bytes, whatever its headers say."""
        if response.status_code != OK:
            raise failed(param, f"its host answered with status {response.status_code}")
        intake = Intake(param, self._settings.most_bytes)
        if int(response.headers.get("content-length", 0)) > intake.most:
            raise TooLarge(f"{param} is larger than {intake.most} bytes.", param=param)
        head = b""
        async for chunk in response.aiter_raw():
            intake.write(chunk)
            if len(head) < ENOUGH:
                head += chunk[:ENOUGH]
                if len(head) >= ENOUGH:
                    media_type_of(param, head)
        return replace(intake.done(), media_type=media_type_of(param, head))

    async def close(self) -> None:
        """Close every connection."""
        await self._transport.aclose()


def port_of(url: httpx2.URL) -> int:
    """The port that a checked address leads to; 0 is a port of its own, and not one to dial."""
    return HTTPS_PORT if url.port is None else url.port


def media_type_of(param: str, head: bytes) -> str:
    """What a picture is by its first bytes. Raises `UnreadableFile` if it is not one that can be used."""
    media_type = sniff(head)
    if media_type not in MEDIA_TYPES:
        text = f"{param} does not lead to a picture. Supported are PNG, JPEG and WebP, uncompressed by the host."
        raise UnreadableFile(text, param=param, code="invalid_image")
    return media_type


def failed(param: str, reason: str) -> UnreachableLink:
    """The refusal of a link that may be followed but did not bring a picture."""
    return UnreachableLink(f"{param} could not be downloaded: {reason}.", param=param, code=FAILED)
