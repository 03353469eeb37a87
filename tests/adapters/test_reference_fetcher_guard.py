"""A link leads nowhere that it should not: not by its form, its name, its redirects, or a second answer of the DNS."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from service.adapters.reference_fetcher import FetchSettings, GuardedFetcher, resolve_by_system
from service.domain.errors import UnreachableLink
from tests.adapters.link_host import (
    NAME,
    PARAM,
    PNG,
    Host,
    Names,
    https_host,
    reader,
    redirect,
    refusal,
    reply,
    to,
)


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    async with https_host(tmp_path) as here:
        yield here


async def test_says_only_what_is_needed(host: Host) -> None:
    host.says["/a"] = reply(PNG, "set-cookie: seen=1; path=/")
    async with reader(host) as links:
        await links.fetch(to(host.link("/a")))
        await links.fetch(to(host.link("/a")))
    assert host.received == 2 * [
        {
            "host": f"{NAME}:{host.port}",
            "accept": "image/png, image/jpeg, image/webp",
            "accept-encoding": "identity",
            "connection": "close",
            "user-agent": "image-gateway",
        },
    ]
    assert host.asked_for == [NAME, NAME]
    assert host.connections == 2


async def test_takes_nothing_from_the_environment(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("SSL_CERT_FILE", host.ca_file)
    host.says["/a"] = reply(PNG)
    async with reader(host) as links:
        assert (await links.fetch(to(host.link("/a")))).content
    async with reader(host, ca_file=None) as links:
        assert isinstance(await refusal(links, host.link("/a")), UnreachableLink)


async def test_the_certificate_is_checked_against_the_name(host: Host) -> None:
    """Even right after a good connection to the same address."""
    host.says["/a"] = reply(PNG)
    async with reader(host, Names({"other.example": [["127.0.0.1"]]})) as links:
        await links.fetch(to(host.link("/a")))
        wrong = await refusal(links, host.link("/a", "other.example"))
        await links.fetch(to(host.link("/a", "second.example")))
    assert isinstance(wrong, UnreachableLink)
    assert wrong.code == "failed_to_download_image"
    assert host.asked_for == [NAME, "other.example", "second.example"]
    assert len(host.received) == 2


async def test_an_unknown_authority_is_refused(host: Host) -> None:
    async with reader(host, ca_file=None) as links:
        assert isinstance(await refusal(links, host.link("/a")), UnreachableLink)
    assert host.received == []


async def test_an_address_in_place_of_a_name(host: Host) -> None:
    host.says["/a"] = reply(PNG)
    names = Names()
    async with reader(host, names) as links:
        assert (await links.fetch(to(host.link("/a", "127.0.0.1")))).content
        assert isinstance(await refusal(links, host.link("/a", "127.0.0.2")), UnreachableLink)
    assert names.questions == []


@pytest.mark.parametrize(
    "link",
    [
        None,
        "",
        "pictures.example/a.png",
        "http://pictures.example/a.png",
        "ftp://pictures.example/a.png",
        "file:///etc/passwd",
        "data:image/png;base64,AAAA",
        "https://user:pass@pictures.example/a.png",
        "https://user@pictures.example/a.png",
        "https://pictures.example\\@127.0.0.1/",
        "https://pictures.example:22/a.png",
        "https://pictures.example:0/a.png",
        "https://pictures.example:x/a.png",
        "https://[::1/a.png",
        "https:///a.png",
        "https://:443/a.png",
        "https://pictures.example/\n",
        "https://pictures.exa\tmple/a.png",
        "https://[2.600::1@@@@]@/a b",
        "ehttps://://exa",
    ],
)
async def test_the_form_of_a_link(host: Host, link: str | None) -> None:
    names = Names()
    async with reader(host, names) as links:
        error = await refusal(links, link)
    assert isinstance(error, UnreachableLink)
    assert error.message == (
        f"{PARAM} must lead to an https address without user name or password, on port 443 or {host.port}."
    )
    assert names.questions == []


NOWHERE = (
    f"{PARAM} leads to a host that does not exist or may not be fetched from. Use the full name of a host on the "
    "public internet, or of one that the gateway's operator allows."
)


@pytest.mark.parametrize(
    "name",
    [
        "2130706433",
        "0x7f.1",
        "0x7f000001",
        "017700000001",
        "0177.0.0.1",
        "127.1",
        "127.0.0.1",
        "127.0.0.1.",
        "localhost.",
        "pictures.example.",
        "0.0.0.0",  # noqa: S104 (an address to refuse)
        "10.0.0.1",
        "169.254.169.254",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fd00:ec2::254]",
        "[fe80::1%25eth0]",
        "[fe80::1%eth0]",
        "a..b",
        "loc%61lhost",
    ],
)
async def test_hosts_that_nobody_is_asked_about(host: Host, name: str) -> None:
    names = Names()
    async with reader(host, names, allow_networks=()) as links:
        error = await refusal(links, host.link("/a", name))
    assert isinstance(error, UnreachableLink)
    assert error.message == NOWHERE
    assert names.questions == []
    assert host.connections == 0


@pytest.mark.parametrize(
    "answer",
    [
        ["10.0.0.1"],
        ["127.0.0.1", "10.0.0.1"],
        ["8.8.8.8", "192.168.0.1"],
        ["127.0.0.1", "fe80::1%eth0"],
        ["127.0.0.1", "not an address"],
        ["fd12::1"],
        [],
    ],
)
async def test_every_address_of_a_host_must_be_permitted(host: Host, answer: list[str]) -> None:
    """The answer is that of a host that does not exist, so that names inside stay secret."""
    async with reader(host, Names({NAME: [answer]})) as links:
        error = await refusal(links, host.link("/a"))
    assert error.message == NOWHERE
    assert host.connections == 0


async def test_a_resolver_with_nothing_to_say(host: Host) -> None:
    async def silent(_: str, __: int) -> Sequence[str]:
        return ()

    async with reader(host, silent) as links:
        assert (await refusal(links, host.link("/a"))).message == NOWHERE


async def test_a_resolver_that_cannot_spell_a_name(host: Host) -> None:
    async def pedantic(name: str, _: int) -> Sequence[str]:
        raise UnicodeError(name)

    async with reader(host, pedantic) as links:
        assert (await refusal(links, host.link("/a"))).message == NOWHERE


@pytest.mark.parametrize("name", ["localhost", "nowhere.invalid"])
async def test_names_are_looked_up_for_real(host: Host, name: str) -> None:
    links = GuardedFetcher(FetchSettings(allow_ports=(host.port,), ca_file=host.ca_file))
    error = await refusal(links, host.link("/a", name))
    await links.close()
    assert error.message == NOWHERE
    assert host.connections == 0


async def test_an_operator_may_open_localhost(host: Host) -> None:
    host.says["/a"] = reply(PNG)
    settings = FetchSettings(
        allow_networks=("127.0.0.0/8", "::1/128"),
        allow_ports=(host.port,),
        ca_file=host.ca_file,
    )
    links = GuardedFetcher(settings)
    assert (await links.fetch(to(host.link("/a", "localhost")))).content
    await links.close()


async def test_the_system_names_each_address_once() -> None:
    addresses = await resolve_by_system("localhost", 443)
    assert set(addresses) <= {"127.0.0.1", "::1"}
    assert len(set(addresses)) == len(addresses) > 0


async def test_a_second_answer_is_never_asked_for(host: Host) -> None:
    host.says["/a"] = reply(PNG)
    names = Names({NAME: [["127.0.0.1"], ["10.0.0.1"]]})
    async with reader(host, names) as links:
        assert (await links.fetch(to(host.link("/a")))).content
        assert names.questions == [NAME]
        assert (await refusal(links, host.link("/a"))).message == NOWHERE
    assert names.questions == [NAME, NAME]


@pytest.mark.parametrize(
    "target",
    [
        "https://169.254.169.254/latest/meta-data/",
        "https://10.0.0.1/",
        "https://inside.example/",
        "https://2130706433/",
        "https://[::1]/",
        "https://localhost./",
    ],
)
async def test_a_redirect_is_checked_like_a_link(host: Host, target: str) -> None:
    host.says["/a"] = redirect(target)
    async with reader(host, Names({"inside.example": [["10.0.0.1"]]})) as links:
        error = await refusal(links, host.link("/a"))
    assert isinstance(error, UnreachableLink)
    assert error.message == NOWHERE


@pytest.mark.parametrize(
    "scheme",
    [
        "http://pictures.example/",
        "file:///etc/passwd",
        "https://a:b@pictures.example/",
        "ehttps://://exa",
        "https://[::1@@@@]@/",
    ],
)
async def test_a_redirect_stays_on_https(host: Host, scheme: str) -> None:
    host.says["/a"] = redirect(scheme)
    async with reader(host) as links:
        assert "must lead to an https address" in (await refusal(links, host.link("/a"))).message


async def test_a_redirect_does_not_trust_the_name_again(host: Host) -> None:
    host.says["/a"] = redirect("/b")
    async with reader(host, Names({NAME: [["127.0.0.1"], ["192.168.0.1"]]})) as links:
        assert (await refusal(links, host.link("/a"))).message == NOWHERE
    assert host.connections == 1


async def test_nothing_is_logged(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    host.says["/a?signature=secret"] = reply(PNG)
    with caplog.at_level("INFO"):
        async with reader(host) as links:
            await links.fetch(to(host.link("/a?signature=secret")))
    assert caplog.text == ""


def test_wrong_networks_stop_the_start() -> None:
    with pytest.raises(ValueError, match="'inside'"):
        GuardedFetcher(FetchSettings(allow_networks=("10.0.0.0/8", "inside")))


def test_a_missing_file_of_authorities_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        GuardedFetcher(FetchSettings(ca_file=str(tmp_path / "none.pem")))
