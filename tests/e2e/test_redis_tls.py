"""A gateway whose Redis has a certificate of a private authority: refused with the reason, then accepted."""

import ssl
from pathlib import Path

import httpx2
import redis
import trustme

from service.adapters.embedded_valkey import run_valkey
from tests.e2e.replicas import Start, ask
from tests.support.gateway import becomes_true
from tests.support.tls_proxy import tls_in_front

pytest_plugins = ["tests.support.databases"]

UNTRUSTED = "does not answer: TLS does not trust its certificate (unable to get local issuer certificate)"


def test_the_address_of_a_store_names_its_certificate_authority(
    start: Start, http: httpx2.Client, tmp_path: Path
) -> None:
    authority, trust = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(trust)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with run_valkey(tmp_path / "valkey") as url, redis.Redis.from_url(url) as admin:
        admin.execute_command("ACL", "SETUSER", "app", "on", ">hush", "~igw:*", "+@all", "-@dangerous", "+info")
        with tls_in_front(url.removeprefix("unix://"), trust) as port:
            address = f"rediss://app:hush@127.0.0.1:{port}"

            with start(REDIS_URL=address) as gateway:
                assert gateway.await_logged("store unusable", store="REDIS_URL")["problem"] == UNTRUSTED
                readiness = http.get(f"{gateway.url}/health/ready")
                refused = ask(http, gateway, "a fox")
                assert "hush" not in "".join(gateway.lines) + readiness.text + refused.text

            with start(REDIS_URL=f"{address}?ssl_ca_certs={tmp_path / 'ca.pem'}") as gateway:
                assert becomes_true(lambda: http.get(f"{gateway.url}/health/ready").status_code == 200)
                reply = ask(http, gateway, f"a fox {tmp_path}")

    assert (readiness.status_code, readiness.json()["problems"]["redis"]) == (503, UNTRUSTED)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "state_unavailable")
    assert reply.status_code == 200, reply.text
