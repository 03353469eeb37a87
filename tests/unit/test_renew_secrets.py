"""Looking at secrets: who is told of which, and that one that is wrong is in nobody's way."""

import asyncio
from collections import deque
from pathlib import Path

from service.usecases.admin.secret_reload import SecretReload, do_nothing
from service.usecases.ports.events import SecretRejected, SecretReloaded
from tests.fakes.observer import Recorder


class Told:
    """A secret that says what a test told it to say, then nothing new."""

    def __init__(self, name: str, *looks: bool | str) -> None:
        self.name = name
        self.file: Path | None = Path("/run") / name
        self.looked = asyncio.Event()
        self._looks = deque(looks)

    def reload(self) -> bool | str:
        if not self._looks:
            self.looked.set()
        return self._looks.popleft() if self._looks else False


async def test_what_is_new_is_told_to_who_has_to_know_and_to_who_watches() -> None:
    observe, heard = Recorder(), []
    still, wrong, vendor = (
        Told("STILL", False, False),
        Told("WRONG", "WRONG: /run/WRONG: is empty"),
        Told("KEY", False, True),
    )
    renew = SecretReload(
        secrets=[
            (still, lambda: heard.append("still")),
            (wrong, lambda: heard.append("wrong")),
            (vendor, lambda: heard.append("vendor")),
            (Told("STORE", True), do_nothing),
        ],
        observe=observe,
        interval_seconds=0.001,
    )
    running = asyncio.create_task(renew.run())
    async with asyncio.timeout(10):
        await still.looked.wait()
    running.cancel()

    assert heard == ["vendor"]
    assert observe.events == [
        SecretRejected(secret="WRONG", problem="WRONG: /run/WRONG: is empty"),
        SecretReloaded(secret="STORE", file="/run/STORE"),
        SecretReloaded(secret="KEY", file="/run/KEY"),
    ]
