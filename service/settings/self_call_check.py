"""Check that no backend is the gateway itself.

Rule: a gateway's own addresses are those that it listens on, under every name of this machine, and `public_url`. Names
are resolved only if the port is one of its own; an unknown name is foreign. A way back over a load balancer is not seen
here, but by `domain/loop_detection.py` with the first request.

Fails with: `SettingsError`, which names the backend's address.
"""

import socket
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from urllib.parse import urlsplit

from service.settings.gateway import GatewaySettings, base_url_variable
from service.settings.yaml_file import FilePlace, SettingsError

PORTS = {"http": 80, "https": 443}
Address = IPv4Address | IPv6Address
LOOPBACK: frozenset[Address] = frozenset({ip_address("127.0.0.1"), ip_address("::1")})
"""Addresses at which a connection to 0.0.0.0 or [::] arrives."""


def check_no_self_call(
    settings: GatewaySettings, file: Path, environment: Mapping[str, str], listening: Sequence[tuple[str, int]]
) -> None:
    """Raise `SettingsError` if a backend that is on has one of the gateway's own addresses."""
    for name in sorted(settings.api_keys):
        url = settings.http_backends[name].base_url
        own = matching_own_address(url, listening, settings.images.public_url)
        if own:
            variable = base_url_variable(name)
            place = (
                variable
                if environment.get(variable, "").strip()
                else str(FilePlace(file) / "backends" / name / "base_url")
            )
            raise SettingsError(f"{place}: {url} is this gateway itself ({own}); it would wait for its own answer")


def matching_own_address(url: str, listening: Sequence[tuple[str, int]], public_url: str | None) -> str | None:
    """Return the own address that a URL leads to, in words, or None."""
    host, port = _host_and_port(url)
    if public_url and _host_and_port(public_url) == (host, port):
        return f"images.public_url, {public_url}"
    for own_host, own_port in listening:
        if own_port == port and _same_host(host, own_host):
            return f"it listens on {own_host} port {own_port}"
    return None


def _host_and_port(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return (parts.hostname or "").rstrip("."), parts.port or PORTS[parts.scheme]


def _same_host(host: str, own: str) -> bool:
    # A connection to `host` reaches a listener on `own` if their addresses meet; an unspecified one meets every local.
    if host == own:
        return True
    targets, own_addresses = resolve_host(host), resolve_host(own)
    if any(address.is_unspecified for address in targets):
        targets |= LOOPBACK
    if any(address.is_unspecified for address in own_addresses):
        return any(is_local(address) for address in targets)
    return bool(targets & own_addresses)


def resolve_host(host: str) -> frozenset[Address]:
    """Return the addresses of a host name, or of a literal address; none if it cannot be resolved."""
    try:
        addresses = {
            ip_address(sockaddr[0]) for *_, sockaddr in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        }
    except (OSError, UnicodeError, ValueError):
        return frozenset()
    return frozenset(getattr(address, "ipv4_mapped", None) or address for address in addresses)


def is_local(address: Address) -> bool:
    """Return whether an address is one of this machine: only such an address can be bound."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6  # noqa: PLR2004 (of IP)
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True
