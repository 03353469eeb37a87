"""Reload of secrets: which part is informed of a change, and that a wrong file affects no other secret."""

import asyncio
from collections import deque
from pathlib import Path

from service.domain.circuit_breaker import BreakerState
from service.domain.errors import Failure, FailureKind
from service.usecases.admin.secret_reload import SecretReload
from service.usecases.images.sign_urls import SignUrls
from service.usecases.ports.events import SecretRejected, SecretReloaded
from tests.fakes.builders import NOW
from tests.fakes.observer import Recorder
from tests.support.admission_replicas import Site

REFUSED = Failure(kind=FailureKind.AUTH_FAILED, message="401")


class ScriptedSecret:
    """A secret whose reloads end as a test lists them, and then without a change."""

    def __init__(self, name: str, *results: bool | str) -> None:
        self.name = name
        self.file: Path | None = Path("/run") / name
        self.is_used_up = asyncio.Event()
        self._results = deque(results)

    def reload(self) -> bool | str:
        if not self._results:
            self.is_used_up.set()
        return self._results.popleft() if self._results else False


async def test_a_changed_secret_reaches_the_parts_that_keep_it_and_the_log() -> None:
    observer, keys = Recorder(), [b"old"]
    admission = Site().replica().admission
    for backend in ("alpha", "beta"):
        admission.record_probe(backend, REFUSED)
    sign_urls = SignUrls(signing_keys=lambda: keys, url_seconds=60, now=lambda: NOW)
    unchanged = ScriptedSecret("BETA", False, False)
    reload = SecretReload(
        backend_keys={"beta": unchanged, "alpha": ScriptedSecret("ALPHA", False, True)},
        signing_keys=ScriptedSecret("SIGNING", True),
        read_at_each_use=(ScriptedSecret("STORE", True), ScriptedSecret("WRONG", "WRONG: /run/WRONG: is empty")),
        admission=admission,
        sign_urls=sign_urls,
        observer=observer,
        interval_seconds=0.001,
    )
    keys[:] = [b"new"]

    running = asyncio.create_task(reload.run())
    async with asyncio.timeout(10):
        await unchanged.is_used_up.wait()
    running.cancel()

    assert [status.state for status in admission.status()] == [BreakerState.HALF_OPEN, BreakerState.OPEN]
    assert sign_urls.sign("fox", 1) == SignUrls(signing_keys=lambda: keys, url_seconds=60, now=lambda: NOW).sign(
        "fox", 1
    )
    assert observer.events == [
        SecretReloaded(secret="SIGNING", file="/run/SIGNING"),
        SecretReloaded(secret="STORE", file="/run/STORE"),
        SecretRejected(secret="WRONG", problem="WRONG: /run/WRONG: is empty"),
        SecretReloaded(secret="ALPHA", file="/run/ALPHA"),
    ]


async def test_signing_keys_that_no_setting_has_are_not_reloaded() -> None:
    observer = Recorder()
    reload = SecretReload(
        backend_keys={},
        signing_keys=None,
        read_at_each_use=(),
        admission=Site().replica().admission,
        sign_urls=SignUrls(signing_keys=lambda: [b"key"], url_seconds=60, now=lambda: NOW),
        observer=observer,
    )

    reload.reload_all()

    assert observer.events == []
