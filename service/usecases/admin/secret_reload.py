"""Look at the files of secrets, so that one that was rotated counts without a restart.

Rule: each by itself. What a file says anew counts from the next use on, and whoever has to know is told so; what cannot
be used is refused, told, and the secret before stays. A secret that no file holds never changes.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from service.usecases.ports.events import SecretRejected, SecretReloaded
from service.usecases.ports.observer import Observer
from service.usecases.ports.secrets import ReloadableSecret


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretReload:
    """The use case. Each secret comes with what is done once it has become another one."""

    secrets: Sequence[tuple[ReloadableSecret, Callable[[], None]]]
    observe: Observer
    interval_seconds: float = 2.0

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            self.reload_all()
            await asyncio.sleep(self.interval_seconds)

    def reload_all(self) -> None:
        """Look once."""
        for secret, on_change in self.secrets:
            changed = secret.reload()
            if isinstance(changed, str):
                self.observe(SecretRejected(secret=secret.name, problem=changed))
            elif changed:
                on_change()
                self.observe(SecretReloaded(secret=secret.name, file=str(secret.file)))


def do_nothing() -> None:
    """Who asks for a secret at each use has nothing to do."""
