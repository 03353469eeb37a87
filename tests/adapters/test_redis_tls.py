"""A real Valkey behind TLS, with a certificate of an authority that the system does not know."""

import asyncio
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import redis
import trustme

from service.adapters.embedded_valkey import run_valkey
from service.adapters.redis.client import RedisServer
from tests.support.tls_proxy import tls_in_front

UNTRUSTED = "does not answer: TLS does not trust its certificate (unable to get local issuer certificate)"
MISNAMED = "does not answer: TLS does not trust its certificate (IP address mismatch)"
REFUSED = "does not answer: the connection is refused"
UNKNOWN = "does not answer: DNS does not know its name"


@dataclass(frozen=True)
class Store:
    """Its port, one whose certificate has another name, and the file of the authority."""

    port: int
    misnamed: int
    authority: Path


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder, authority = tmp_path_factory.mktemp("tls"), trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    with run_valkey(folder / "valkey") as url, redis.Redis.from_url(url) as admin:
        admin.execute_command("ACL", "SETUSER", "app", "on", ">hush", "~igw:*", "+@all", "-@dangerous", "+info")
        admin.execute_command("ACL", "SETUSER", "default", "off")
        path = url.removeprefix("unix://")
        right, other = (trust_context(authority, name) for name in ("127.0.0.1", "other.example"))
        with tls_in_front(path, right) as port, tls_in_front(path, other) as misnamed:
            yield Store(port, misnamed, folder / "ca.pem")


def trust_context(authority: trustme.CA, name: str) -> ssl.SSLContext:
    trust = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(trust)
    return trust


def connected(ports: set[int]) -> bool:
    """Has this process a connection to one of them? The client does not wait until a refused one is closed."""
    return any({*connection.raddr[1:]} & ports for connection in psutil.Process().net_connections("tcp"))


CASES = {
    "right": ("rediss://app:hush@127.0.0.1:{port}?ssl_ca_certs={authority}", None),
    "an authority that is not known": ("rediss://app:hush@127.0.0.1:{port}", UNTRUSTED),
    "likewise of a cluster": ("rediss+cluster://app:hush@127.0.0.1:{port}", UNTRUSTED),
    "another name": ("rediss://app:hush@127.0.0.1:{misnamed}?ssl_ca_certs={authority}", MISNAMED),
    "a password": ("rediss://app:wrong@127.0.0.1:{port}?ssl_ca_certs={authority}", "refuses the user or the password"),
    "no password": ("rediss://127.0.0.1:{port}?ssl_ca_certs={authority}", "refuses the user or the password"),
    "a port": ("rediss://app:hush@127.0.0.1:9?ssl_ca_certs={authority}", REFUSED),
    "a host": ("rediss://app:hush@no-such-host.invalid?ssl_ca_certs={authority}", UNKNOWN),
    "no TLS": ("redis://app:hush@127.0.0.1:{port}", "does not answer: it hangs up"),
}


@pytest.mark.parametrize("case", CASES)
async def test_tls_is_told_apart_from_names_ports_and_passwords(store: Store, case: str) -> None:
    address, words = CASES[case]
    state = RedisServer(address.format(port=store.port, misnamed=store.misnamed, authority=store.authority))

    problem = await state.problem(5.0)

    await state.close()
    while connected({store.port, store.misnamed}):  # noqa: ASYNC110 (the transports tell nobody)
        await asyncio.sleep(0)
    assert problem is None if words is None else str(problem).startswith(words), problem
    assert not any(secret in str(problem) for secret in ("hush", "wrong", "127.0.0.1"))
