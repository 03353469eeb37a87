"""The Lua scripts, and how one is run.

Rule: a verb is one script and one round trip; only a server that does not know the script yet (it is new, or was
restarted) is sent its text. Whatever keeps the server from answering, or answering well, before patience ends is
`StateUnavailable`, and nothing is tried again: a connection with an answer on its way is closed by the client.
"""

import asyncio
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.exceptions import NoScriptError

from service.adapters.changing import Changing
from service.adapters.patience import Patience
from service.adapters.state import MOST_CONNECTIONS, UNREACHABLE, connect, disconnect
from service.domain.errors import StateUnavailable

SCRIPTS = Path(__file__).parent / "scripts"
NO_ANSWER = "The gateway's state does not answer."

Argument = str | bytes | int


@dataclass(frozen=True, slots=True)
class Script:
    """One script, and the digest that a server knows it by."""

    text: str
    digest: str


def load(name: str, folder: Path = SCRIPTS) -> Script:
    """The script of that name, behind its folder's prelude."""
    text = "\n".join((folder / f"{part}.lua").read_text(encoding="utf-8") for part in ("prelude", name))
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


class Line:
    """The way to the server: at most as many calls at a time as there are connections."""

    def __init__(self, url: Changing, patience: float) -> None:
        self._client = connect(url)
        self._patience = patience
        self._turns = asyncio.Semaphore(MOST_CONNECTIONS)

    async def run(self, script: Script, keys: tuple[str, ...], *arguments: Argument) -> Any:  # noqa: ANN401 (a reply is what its script says)
        """The script's reply."""
        try:
            async with Patience(self._patience), self._turns:
                await self._client.initialize()  # of a cluster that is not known yet, the client asks any node at all
                try:
                    return await self._client.execute_command("EVALSHA", script.digest, len(keys), *keys, *arguments)
                except NoScriptError:
                    return await self._client.execute_command("EVAL", script.text, len(keys), *keys, *arguments)
        except UNREACHABLE as error:
            raise StateUnavailable(NO_ANSWER) from error

    async def close(self) -> None:
        """Close every connection."""
        await disconnect(self._client)
