"""Lua scripts, and the runner that sends them.

Rule: a verb is one script and one round trip. The text is sent only to a server that does not know the script: a new or
restarted one. Nothing is retried.

Fails with: `StateUnavailable` if the server does not answer in time, refuses the script or is full.
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
    """A script's text, and the SHA-1 digest by which a server knows it."""

    text: str
    digest: str


def load_script(name: str, folder: Path = SCRIPTS / "quotas", *, when_full: bool = False) -> Script:
    """Load a script, behind the clock and the prelude of its folder.

    With `when_full` a server with no free memory runs the script too. Redis knows this flag since version 7.0.
    """
    files = (SCRIPTS / "clock.lua", folder / "prelude.lua", folder / f"{name}.lua")
    first = ALLOWED_WHEN_FULL if when_full else ""
    text = first + "\n".join(file.read_text(encoding="utf-8") for file in files)
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


class ScriptRunner:
    """Runs scripts on one server or cluster."""

    def __init__(self, url: DynamicText, timeout_seconds: float, queue: ConnectionQueue | None = None) -> None:
        self._pool = RedisConnectionPool(url, timeout_seconds, queue)

    async def run(self, script: Script, keys: tuple[str, ...], *arguments: Argument) -> Any:  # noqa: ANN401 (a reply has the type of its script)
        try:
            return await self.execute("EVALSHA", script.digest, len(keys), *keys, *arguments)
        except NoScriptError:
            return await self.execute("EVAL", script.text, len(keys), *keys, *arguments)

    async def execute(self, *command: Argument) -> Any:  # noqa: ANN401 (as above)
        """Send a command. Raises `NoScriptError` for a script that the server does not know."""
        try:
            return await self._pool.execute(*command)
        except NoScriptError:
            raise
        except OutOfMemoryError as error:
            raise StateUnavailable(FULL_MESSAGE) from error
        except UNREACHABLE as error:
            raise StateUnavailable(UNAVAILABLE_MESSAGE) from error

    async def close(self) -> None:
        await self._pool.close()
