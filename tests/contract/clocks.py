"""The real quota store and shared health by a clock that tests set: their scripts read a list instead of the time."""

import hashlib
from dataclasses import dataclass
from functools import cache
from typing import Any

from service.adapters.redis.connection_pool import Argument
from service.adapters.redis.lua_scripts import Script, ScriptRunner
from service.adapters.redis.quota_store import RedisQuotaStore
from service.adapters.redis.shared_health import RedisSharedHealth
from service.domain.limit_errors import SECOND
from tests.fakes.quota_store import NOW
from tests.support.quota_stores import LONG_TIMEOUT_SECONDS

ASKS_THE_TIME = "redis.call('TIME')"
SET_THE_CLOCK_TEXT = "redis.call('DEL', KEYS[1]) return redis.call('RPUSH', KEYS[1], ARGV[1], ARGV[2])"


def as_script(text: str) -> Script:
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


SET_THE_CLOCK = as_script(SET_THE_CLOCK_TEXT)


@cache
def clocked(script: Script) -> Script:
    """The script, by a list beside its first key."""
    assert ASKS_THE_TIME in script.text
    return as_script(script.text.replace(ASKS_THE_TIME, "redis.call('LRANGE', KEYS[1] .. ':clock', 0, 1)"))


@dataclass
class Clock:
    """A server's time, in microseconds since 1970, for every key that is named in front."""

    scripts: ScriptRunner
    now: int = NOW

    async def run(self, script: Script, keys: tuple[str, ...], *arguments: Argument) -> Any:
        """Set the clock, then run the script by it."""
        seconds, rest = divmod(self.now, SECOND)
        await self.scripts.run(SET_THE_CLOCK, (f"{keys[0]}:clock",), seconds, rest)
        return await self.scripts.run(clocked(script), keys, *arguments)

    async def close(self) -> None:
        """Close every connection."""
        await self.scripts.close()


class ClockedLedger(RedisQuotaStore):
    """The real ledger; `now` is its clock."""

    def __init__(self, url: str) -> None:
        super().__init__(url, timeout_seconds=LONG_TIMEOUT_SECONDS)
        self.clock = Clock(self._scripts)
        self._scripts = self.clock  # type: ignore[assignment] # (it runs scripts as the other does)

    @property
    def now(self) -> int:
        return self.clock.now

    @now.setter
    def now(self, now: int) -> None:
        self.clock.now = now


class ClockedSharedHealth(RedisSharedHealth):
    """The real shared health; `now` is its clock."""

    def __init__(self, url: str) -> None:
        super().__init__(url, timeout_seconds=LONG_TIMEOUT_SECONDS)
        self.clock = Clock(self._scripts)
        self._scripts = self.clock  # type: ignore[assignment] # (likewise)

    @property
    def now(self) -> int:
        return self.clock.now

    @now.setter
    def now(self, now: int) -> None:
        self.clock.now = now
