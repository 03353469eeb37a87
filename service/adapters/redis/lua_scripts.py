"""The Lua scripts, and how one is run.

Rule: a verb is one script and one round trip; only a server that does not know the script yet (it is new, or was
restarted) is sent its text. Whatever keeps the server from answering, or answering well, before patience ends is
`StateUnavailable`, and nothing is tried again.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.exceptions import NoScriptError, OutOfMemoryError

from service.adapters.dynamic_text import DynamicText
from service.adapters.redis.client import UNREACHABLE
from service.adapters.redis.connection_pool import Argument, ConnectionQueue, RedisConnectionPool
from service.domain.errors import StateUnavailable

SCRIPTS = Path(__file__).parent / "scripts"
UNAVAILABLE_MESSAGE = "The gateway's state does not answer."
FULL_MESSAGE = "The gateway's state is full; nothing new can be held."
ALLOWED_WHEN_FULL = "#!lua flags=allow-oom\n"


@dataclass(frozen=True, slots=True)
class Script:
    """One script, and the digest that a server knows it by."""

    text: str
    digest: str


def load_script(name: str, folder: Path = SCRIPTS / "quotas", *, when_full: bool = False) -> Script:
    """The script of that name, behind the clock and its folder's prelude.

    With `when_full` a server that has used all its memory runs it too. Redis knows that flag since version 7.0.
    """
    files = (SCRIPTS / "clock.lua", folder / "prelude.lua", folder / f"{name}.lua")
    first = ALLOWED_WHEN_FULL if when_full else ""
    text = first + "\n".join(file.read_text(encoding="utf-8") for file in files)
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


class ScriptRunner:
    """The way to a server that runs scripts."""

    def __init__(self, url: DynamicText, timeout_seconds: float, queue: ConnectionQueue | None = None) -> None:
        self._pool = RedisConnectionPool(url, timeout_seconds, queue)

    async def run(self, script: Script, keys: tuple[str, ...], *arguments: Argument) -> Any:  # noqa: ANN401 (a reply is what its script says)
        """The script's reply."""
        try:
            return await self.execute("EVALSHA", script.digest, len(keys), *keys, *arguments)
        except NoScriptError:
            return await self.execute("EVAL", script.text, len(keys), *keys, *arguments)

    async def execute(self, *command: Argument) -> Any:  # noqa: ANN401 (as above)
        """The reply to a command. A script that the server does not know is a `NoScriptError`."""
        try:
            return await self._pool.execute(*command)
        except NoScriptError:
            raise
        except OutOfMemoryError as error:
            raise StateUnavailable(FULL_MESSAGE) from error
        except UNREACHABLE as error:
            raise StateUnavailable(UNAVAILABLE_MESSAGE) from error

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()
