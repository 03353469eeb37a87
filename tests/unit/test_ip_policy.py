"""Addresses that the gateway may connect to, and accepted spellings of a host."""

from ipaddress import ip_address

import pytest

from service.domain.ip_policy import is_plain_name, is_refused, parse_literal, parse_networks

REFUSED = {
    "loopback": "127.0.0.1",
    "loopback, last": "127.255.255.254",
    "loopback, IPv6": "::1",
    "private 10": "10.0.0.1",
    "private 172.16": "172.16.0.1",
    "private 172.31": "172.31.255.255",
    "private 192.168": "192.168.1.1",
    "unique local": "fd12:3456:789a::1",
    "unique local, first half": "fc00::1",
    "link-local": "169.254.1.1",
    "link-local, IPv6": "fe80::1",
    "link-local with a zone": "fe80::1%eth0",
    "public with a zone": "2606:4700::1111%eth0",
    "site-local": "fec0::1",
    "carrier-grade NAT": "100.64.0.1",
    "carrier-grade NAT, last": "100.127.255.255",
    "metadata": "169.254.169.254",
    "metadata of AWS, IPv6": "fd00:ec2::254",
    "metadata of Google, IPv6": "fd20:ce::254",
    "metadata of Alibaba": "100.100.100.200",
    "metadata of Oracle": "192.0.0.192",
    "host agent of Azure": "168.63.129.16",
    "multicast": "224.0.0.1",
    "multicast, last": "239.255.255.255",
    "multicast, IPv6": "ff02::1",
    "multicast, global IPv6": "ff0e::1",
    "unspecified": "0.0.0.0",  # noqa: S104 (an address to refuse)
    "this network": "0.1.2.3",
    "unspecified, IPv6": "::",
    "reserved": "240.0.0.1",
    "broadcast": "255.255.255.255",
    "IETF": "192.0.0.8",
    "relay of 6to4": "192.88.99.1",
    "benchmark": "198.19.0.1",
    "documentation 1": "192.0.2.1",
    "documentation 2": "198.51.100.1",
    "documentation 3": "203.0.113.1",
    "documentation, IPv6": "2001:db8::1",
    "documentation, new": "3fff::1",
    "6bone": "3ffe::1",
    "discard": "100::1",
    "segment routing": "5f00::1",
    "not given out": "4000::1",
    "ORCHID": "2001:20::1",
    "mapped loopback": "::ffff:127.0.0.1",
    "mapped private": "::ffff:10.0.0.1",
    "mapped metadata": "::ffff:169.254.169.254",
    "compatible loopback": "::127.0.0.1",
    "translated private": "::ffff:0:10.0.0.1",
    "6to4 of loopback": "2002:7f00:1::",
    "6to4 of private": "2002:a00:1::1",
    "Teredo": "2001:0:a00:1::f5ff:fffe",
    "NAT64 of loopback": "64:ff9b::127.0.0.1",
    "NAT64 of private": "64:ff9b::192.168.0.1",
    "NAT64 of metadata": "64:ff9b::169.254.169.254",
    "NAT64, local": "64:ff9b:1::8.8.8.8",
}

PUBLIC = {
    "IPv4": "8.8.8.8",
    "below private 10": "9.255.255.255",
    "above private 10": "11.0.0.0",
    "below carrier-grade NAT": "100.63.255.255",
    "above carrier-grade NAT": "100.128.0.0",
    "below private 172": "172.15.255.255",
    "above private 172": "172.32.0.0",
    "below multicast": "223.255.255.255",
    "IPv6": "2606:4700:4700::1111",
    "IPv6, low": "2001:4860:4860::8888",
    "mapped public": "::ffff:8.8.8.8",
    "NAT64 of public": "64:ff9b::8.8.8.8",
}


@pytest.mark.parametrize("address", REFUSED.values(), ids=REFUSED)
def test_not_public(address: str) -> None:
    assert is_refused(ip_address(address), ())


@pytest.mark.parametrize("address", PUBLIC.values(), ids=PUBLIC)
def test_public(address: str) -> None:
    assert not is_refused(ip_address(address), ())


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("10.1.2.3", "10.1.0.0/16"),
        ("::ffff:10.1.2.3", "10.1.0.0/16"),
        ("64:ff9b::10.1.2.3", "10.1.0.0/16"),
        ("127.0.0.1", "127.0.0.0/8"),
        ("fd12:3456::1", "fd12:3456::/32"),
        ("8.8.8.8", "10.1.0.0/16"),
    ],
)
def test_an_operator_opens_a_network(address: str, allowed: str) -> None:
    assert not is_refused(ip_address(address), parse_networks([allowed]))


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("10.2.0.1", "10.1.0.0/16"),
        ("127.0.0.1", "10.1.0.0/16"),
        ("fd12:3457::1", "fd12:3456::/32"),
        ("::1", "0.0.0.0/0"),
        ("127.0.0.1", "::/0"),
    ],
)
def test_and_only_that_network(address: str, allowed: str) -> None:
    assert is_refused(ip_address(address), parse_networks([allowed]))


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.170.2",
        "::ffff:169.254.169.254",
        "64:ff9b::169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "fd00:ec2::254",
        "fd20:ce::254",
        "fe80::1",
    ],
)
def test_credentials_stay_closed_whatever_is_allowed(address: str) -> None:
    assert is_refused(ip_address(address), parse_networks(["0.0.0.0/0", "::/0"]))


@pytest.mark.parametrize("host", ["8.8.8.8", "127.0.0.1", "::1", "::ffff:127.0.0.1", "2606:4700::1"])
def test_literals(host: str) -> None:
    assert parse_literal(host) == ip_address(host)
    assert not is_plain_name(host)


ODD_HOSTS = {
    "decimal": "2130706433",
    "shortened": "127.1",
    "hex": "0x7f000001",
    "hex and shortened": "0x7f.1",
    "hex in each part": "0x7f.0x0.0x0.0x1",
    "hex without digits": "0x",
    "octal": "017700000001",
    "octal in one part": "0177.0.0.1",
    "leading zero": "127.0.0.01",
    "too many parts": "1.2.3.4.5",
    "out of range": "256.1.1.1",
    "name that ends in a number": "pictures.1",
    "address with a dot": "127.0.0.1.",
    "localhost with a dot": "localhost.",
    "name with a dot": "pictures.example.",
    "only a dot": ".",
    "empty": "",
    "empty label": "a..b",
    "zone": "fe80::1%eth0",
    "escaped zone": "fe80::1%25eth0",
    "escaped letter": "loc%61lhost",
    "upper case": "LOCALHOST",
    "not ASCII": "b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.example",
    "digits of another script": "\N{FULLWIDTH DIGIT ONE}27.0.0.1",
    "space": "a b",
    "new line": "pictures.example\n",
    "zero byte": "a\x00b",
    "wildcard": "*.example",
    "long label": f"{'a' * 64}.example",
    "long name": ".".join(["abcdefg"] * 32),
}


@pytest.mark.parametrize("host", ODD_HOSTS.values(), ids=ODD_HOSTS)
def test_neither_name_nor_literal(host: str) -> None:
    assert parse_literal(host) is None
    assert not is_plain_name(host)


@pytest.mark.parametrize(
    "host",
    ["localhost", "pictures.example", "a_b.example", "xn--bcher-kva.example", "3com.example", "1.2.3.4.example", "0xg"],
)
def test_names(host: str) -> None:
    assert is_plain_name(host)
    assert parse_literal(host) is None


def test_networks_that_cannot_be_read_are_all_named() -> None:
    with pytest.raises(ValueError, match=r"Not networks: '10\.0\.0\.1/8', 'inside'\."):
        parse_networks(["10.0.0.0/8", "10.0.0.1/8", "inside"])
