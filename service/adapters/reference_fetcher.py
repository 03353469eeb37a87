"""A fetcher of linked reference images that cannot be pointed at the inside of the network.

Rule: each hop resolves its host name once, and every address of the host must be permitted (`domain/ip_policy.py`). The
client connects to the checked address and checks the certificate against the name. So a second, different DNS answer is
never used. A redirect is a hop like the first. No proxy and no other setting of the environment is used. No connection
is used twice, because it would carry another host's certificate. Nothing is logged.

Fails with: `UnreachableLink` for any fault of the network; its message tells nothing about the inside. `TooLarge`,
`UnreadableFile`.
"""

import asyncio
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote, urljoin

import aiohttp
from yarl import URL

from service.adapters.uploads import FileSpool
from service.domain.errors import TooLarge, UnreachableLink, UnreadableFile
from service.domain.image_spec import Reference
from service.domain.ip_policy import Address, is_plain_name, is_refused, parse_literal, parse_networks
from service.domain.sniff import ENOUGH, HEAD, MEDIA_TYPES, sniff, unsupported_type
from service.usecases.ports.reference_fetcher import ReferenceFetcher

OK = 200
REDIRECTS = frozenset({301, 302, 303, 307, 308})
HTTPS_PORT = 443
MAX_REDIRECTS = 3
MAX_ADDRESSES = 4
CONNECT_SECONDS = 5.0
MAX_HEADER_BYTES = 65_536
DOWNLOAD_FAILED_CODE = "failed_to_download_image"
HEADERS = {
    "accept": ", ".join(MEDIA_TYPES),
    "accept-encoding": "identity",
    "connection": "close",
    "user-agent": "image-gateway",
}
CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f]")
# In a path or query these stay as they are, because a signed link may be signed in exactly this form.
UNESCAPED_CHARACTERS = "%!$&'()*+,;=:@/?[]\\^|~"


Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Resolves a host name and a port to IP addresses. Raises `OSError` or `ValueError` if there are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchSettings:
    """Bounds of a fetch.

    Attributes:
        max_bytes: Maximum size of one image.
        timeout_seconds: Timeout of a whole fetch, with its redirects.
        allow_networks: Networks of the operator that images may come from, such as 10.1.0.0/16.
        ca_file: File of certificates that are trusted besides the system's.
    """

    max_bytes: int = 50_000_000
    timeout_seconds: float = 20.0
    allow_networks: tuple[str, ...] = ()
    allow_ports: tuple[int, ...] = (HTTPS_PORT,)
    ca_file: str | None = None


async def resolve_by_system(host: str, port: int) -> list[str]:
    """Return the system's addresses of a host, the best first."""
    infos = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in infos))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceUrl:
    """An https address.

    Attributes:
        text: The whole address, as received.
        host: Lower-case ASCII name, or IP address.
        authority: Host and port, as in a header.
        target: Path and query, as on the wire.
    """

    text: str
    host: str
    port: int
    authority: str
    target: str

    @staticmethod
    def parse(text: str) -> "ReferenceUrl":
        """Parse a link. Raises `ValueError` for another scheme, a user name, or an unreadable text."""
        try:
            url = URL(text)
            host, port, authority = url.raw_host, url.port, url.host_port_subcomponent
        except IndexError:  # yarl 1.24, over brackets behind an @ and over hosts of no letters
            raise ValueError(text) from None
        named = url.raw_user is not None or url.raw_password is not None
        if (
            url.scheme != "https"
            or not host
            or port is None
            or not authority
            or named
            or CONTROL_CHARACTERS.search(text)
        ):
            raise ValueError(text)
        target = quote(URL(text, encoded=True).raw_path_qs, safe=UNESCAPED_CHARACTERS)
        return ReferenceUrl(text=text, host=host, port=port, authority=authority, target=target)

    def url_at(self, address: Address) -> URL:
        """Build the URL of this link at one of its host's addresses."""
        host_in_url = f"[{address}]" if ":" in str(address) else str(address)
        return URL(f"https://{host_in_url}:{self.port}{self.target}", encoded=True)


class GuardedFetcher(ReferenceFetcher):
    """A fetcher of linked images. Build one per process, because reading the system's certificates takes 0.2 s.

    Raises:
        ValueError: `allow_networks` holds something that is not a network; the message names it.
        OSError: `ca_file` cannot be read.
    """

    def __init__(self, settings: FetchSettings, resolve: Resolve = resolve_by_system) -> None:
        self._settings = settings
        self._resolve = resolve
        self._allowed = parse_networks(settings.allow_networks)
        self._trust = build_system_trust()
        if settings.ca_file:
            self._trust.load_verify_locations(settings.ca_file)
        self._session: aiohttp.ClientSession | None = None

    async def fetch(self, reference: Reference) -> Reference:
        """Download the image of a link to disk. The result has the digest of the bytes, and no link.

        Raises:
            UnreachableLink: the link is not permitted, or leads nowhere within `timeout_seconds`.
            TooLarge: the image has more than `max_bytes`.
            UnreadableFile: the content is not a PNG, JPEG or WebP image.
        """
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                return await self._follow_redirects(reference)
        except aiohttp.ClientError:
            raise download_failed(reference.param, "its host did not answer, or not with valid https") from None
        except TimeoutError:
            raise download_failed(
                reference.param, f"it took longer than {self._settings.timeout_seconds:g} seconds"
            ) from None

    async def _follow_redirects(self, reference: Reference) -> Reference:
        url = self._check_url(reference.param, "", reference.link or "")
        for _ in range(MAX_REDIRECTS + 1):
            async with await self._connect(reference.param, url) as response:
                target = response.headers.get("location")
                if target is None or response.status not in REDIRECTS:
                    return await self._read_image(reference.param, response)
                url = self._check_url(reference.param, url.text, target)
        raise download_failed(reference.param, f"it redirects more than {MAX_REDIRECTS} times")

    def _check_url(self, param: str, start: str, text: str) -> ReferenceUrl:
        """Resolve a link against `start`. Raises `UnreachableLink` unless its form is permitted."""
        with suppress(ValueError):
            url = ReferenceUrl.parse(urljoin(start, text))
            if url.port in self._settings.allow_ports:
                return url
        ports = " or ".join(map(str, self._settings.allow_ports))
        requirement = f"{param} must lead to an https address without user name or password, on port {ports}."
        raise UnreachableLink(requirement, param=param)

    async def _connect(self, param: str, url: ReferenceUrl) -> aiohttp.ClientResponse:
        """Return the response of the host's first address that accepts a connection."""
        *others, last = (await self._permitted_addresses(param, url))[:MAX_ADDRESSES]
        for address in others:
            with suppress(aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
                return await self._request(url, address)
        return await self._request(url, last)

    async def _permitted_addresses(self, param: str, url: ReferenceUrl) -> list[Address]:
        """Return the permitted addresses of a host.

        Unknown and forbidden hosts get one answer, so that names inside stay secret.

        Raises:
            UnreachableLink: there is no such host, or one of its addresses is refused.
        """
        addresses = await self._resolve_all(url)
        permitted = [address for address in addresses if address and not is_refused(address, self._allowed)]
        if not addresses or len(permitted) < len(addresses):
            text = (
                f"{param} leads to a host that does not exist or may not be fetched from. Use the full name of a host "
                "on the public internet, or of one that the gateway's operator allows."
            )
            raise UnreachableLink(text, param=param)
        return permitted

    async def _resolve_all(self, url: ReferenceUrl) -> list[Address | None]:
        """Return all addresses of a host; None stands for an unreadable address."""
        if address := parse_literal(url.host):
            return [address]
        if not is_plain_name(url.host):
            return []
        try:
            texts = await self._resolve(url.host, url.port)
        except (OSError, ValueError):
            return []
        return [parse_literal(text) for text in texts]

    async def _request(self, url: ReferenceUrl, address: Address) -> aiohttp.ClientResponse:
        """Connect to an address, and send the request for the link's own host."""
        return await self._client().get(
            url.url_at(address),
            headers={"host": url.authority, **HEADERS},
            server_hostname=url.host,
            allow_redirects=False,
        )

    def _client(self) -> aiohttp.ClientSession:
        """Return the session. aiohttp builds one only in a running loop."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ssl=self._trust, force_close=True),
                timeout=aiohttp.ClientTimeout(connect=CONNECT_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                max_field_size=MAX_HEADER_BYTES,
            )
        return self._session

    async def _read_image(self, param: str, response: aiohttp.ClientResponse) -> Reference:
        """Read the image of a response. Its first bytes decide about the format, not its headers."""
        if response.status != OK:
            raise download_failed(param, f"its host answered with status {response.status}")
        upload = FileSpool(self._settings.max_bytes).begin(param)
        if (response.content_length or 0) > upload.max_bytes:
            raise TooLarge(f"{param} is larger than {upload.max_bytes} bytes.", param=param)
        head = b""
        async for chunk in response.content.iter_any():
            upload.write(chunk)
            if len(head) < ENOUGH:
                head += chunk[:HEAD]
                if len(head) >= ENOUGH:
                    sniff_media_type(param, head)
        return replace(upload.finish(), media_type=sniff_media_type(param, head))

    async def close(self) -> None:
        """Close every connection."""
        if self._session:
            await self._session.close()


def build_system_trust() -> ssl.SSLContext:
    """Trust the system's certificates, where OpenSSL was built to find them. `SSL_CERT_FILE` is for vendors only."""
    trust, built = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.get_default_verify_paths()
    file = built.openssl_cafile if Path(built.openssl_cafile).is_file() else None
    folder = built.openssl_capath if Path(built.openssl_capath).is_dir() else None
    if file or folder:
        trust.load_verify_locations(file, folder)
    return trust


def sniff_media_type(param: str, head: bytes) -> str:
    """Return the media type by an image's first bytes. Raises `UnreadableFile` for an unsupported one."""
    media_type = sniff(head)
    if media_type is None:
        text = f"{param} does not lead to an image. Supported are PNG, JPEG and WebP, uncompressed by the host."
        raise UnreadableFile(text, param=param, code="invalid_image")
    if media_type not in MEDIA_TYPES:
        raise unsupported_type(param, media_type)
    return media_type


def download_failed(param: str, reason: str) -> UnreachableLink:
    """Build the refusal of a permitted link that did not lead to an image."""
    return UnreachableLink(f"{param} could not be downloaded: {reason}.", param=param, code=DOWNLOAD_FAILED_CODE)
