"""Network addresses that a caller may make the gateway connect to: public ones, and those that an operator allows.

Rule: an address that is not known to be public is refused. The tables are explicit, because `ipaddress` differs between
Python versions in its global addresses. An IPv6 address that embeds an IPv4 address is checked as that IPv4 address.
Addresses where clouds hand out credentials are refused even inside an allowed network. Pure.

Fails with: `ValueError` for networks that cannot be parsed.
"""

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

NOT_PUBLIC = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",  # this host; Linux connects to loopback
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
        "2001::/23",  # Teredo, ORCHID, benchmarks
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "3ffe::/16",  # the former 6bone
        "3fff::/20",  # documentation
    )
)
PUBLIC_IPV6 = IPv6Network("2000::/3")
"""The only part of IPv6 that is assigned for global unicast."""

CREDENTIALS = tuple(
    ip_network(text)
    for text in (
        "169.254.0.0/16",  # metadata of most clouds, credentials of containers
        "fe80::/10",
        "fd00:ec2::/32",  # AWS
        "fd20:ce::254/128",  # Google Cloud
        "100.100.100.200/32",  # Alibaba Cloud
        "168.63.129.16/32",  # Azure, from public space
        "192.0.0.192/32",  # Oracle Cloud
    )
)
"""Addresses where machines fetch their identity. No caller stores images there."""

NAT64 = IPv6Network("64:ff9b::/96")
NAME = re.compile(r"(?:[a-z0-9_-]{1,63}\.)*(?!(?:[0-9]+|0x[0-9a-f]*)\Z)[a-z0-9_-]{1,63}")
MAX_NAME_LENGTH = 253


def is_refused(address: Address, allowed: tuple[Network, ...]) -> bool:
    """Tell whether the gateway must not connect there. `allowed` are the operator's own networks."""
    target = embedded_address(address)
    if _is_in(target, CREDENTIALS) or getattr(target, "scope_id", None):
        return True
    return not (_is_public(target) or _is_in(target, allowed))


def embedded_address(address: Address) -> Address:
    """Return the IPv4 address that a mapped or NAT64 address embeds, or the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address


def _is_public(address: Address) -> bool:
    unicast = isinstance(address, IPv4Address) or address in PUBLIC_IPV6
    return unicast and not _is_in(address, NOT_PUBLIC)


def _is_in(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)


def parse_literal(host: str) -> Address | None:
    """Return the address that a host is written as; None for names, zones, and octal, hex and shortened forms."""
    try:
        return None if "%" in host else ip_address(host)
    except ValueError:
        return None


def is_plain_name(host: str) -> bool:
    """Tell whether this is a lower-case ASCII host name without a trailing dot that no resolver reads as a number."""
    return len(host) <= MAX_NAME_LENGTH and NAME.fullmatch(host) is not None


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Parse networks from their usual spelling, such as 10.1.0.0/16.

    Raises:
        ValueError: some are not networks; the message names them all.
    """
    parsed = {text: _network(text) for text in texts}
    invalid = [text for text, network in parsed.items() if network is None]
    if invalid:
        raise ValueError(f"Not networks: {', '.join(map(repr, invalid))}. Write them as 10.1.0.0/16 or fd12:3456::/32.")
    return tuple(network for network in parsed.values() if network)


def _network(text: str) -> Network | None:
    try:
        return ip_network(text)
    except ValueError:
        return None
