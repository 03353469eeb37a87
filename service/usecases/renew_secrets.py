"""Look at the files of secrets, so that one that was rotated counts without a restart.

Rule: each by itself. What a file says anew counts from the next use on, and whoever has to know is told so; what cannot
be used is refused, told, and the secret before stays. A secret that no file holds never changes.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from service.usecases.events import SecretRefused, SecretRenewed
from service.usecases.ports import Observer


class Renewable(Protocol):
    """A secret: the setting that gave it, and the file that holds it, if one does."""

    @property
    def name(self) -> str:
        """The setting."""
        ...

    @property
    def file(self) -> Path | None:
        """The file, if there is one."""
        ...

    def look(self) -> bool | str:
        """Look at the file: does it hold another secret now, or why is what it holds refused?"""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewSecrets:
    """The use case. Each secret comes with what is done once it has become another one."""

    secrets: Sequence[tuple[Renewable, Callable[[], None]]]
    observe: Observer
    seconds: float = 2.0

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(self.seconds)

    def look(self) -> None:
        """Look once."""
        for secret, then in self.secrets:
            found = secret.look()
            if isinstance(found, str):
                self.observe(SecretRefused(secret=secret.name, problem=found))
            elif found:
                then()
                self.observe(SecretRenewed(secret=secret.name, file=str(secret.file)))


def nothing() -> None:
    """Who asks for a secret at each use has nothing to do."""
