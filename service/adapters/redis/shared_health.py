"""What replicas share about backends, in Redis or Valkey, a single server or a cluster.

Rule: a verb is one script on keys of one slot, decided at once and by the server's clock; every key goes by itself. A
server that refuses, hangs, is full, loading or read-only is `StateUnavailable` within 150 ms, and so is a reason that a
newer replica gave and this one does not know. A store that was emptied knows nothing, and is told again.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from service.adapters.dynamic_text import DynamicText
from service.adapters.redis.client import TIMEOUT_SECONDS
from service.adapters.redis.connection_pool import Argument
from service.adapters.redis.connection_queue import ConnectionQueue
from service.adapters.redis.lua_scripts import SCRIPTS, Script, ScriptRunner, load_script
from service.domain.errors import FailureKind, StateUnavailable
from service.domain.limit_errors import SECOND
from service.usecases.ports.shared_health import (
    BreakerChange,
    Cap,
    CapReached,
    Caps,
    HealthUpdate,
    SharedHealth,
    SharedOpening,
    SlotRequest,
)

NEVER = -1
KEYS = ("health", "blocked", "probe", "calls", "rates2")

_SYNC, _CLAIM_PROBE, _ACQUIRE_SLOTS, _RELEASE_SLOTS = (
    load_script(verb, SCRIPTS / "shared_health") for verb in ("sync", "claim_probe", "acquire_slots", "release_slots")
)


class RedisSharedHealth:
    """The port `SharedHealthStore`. `patience_seconds` is how long the server may take to answer."""

    def __init__(
        self, url: DynamicText, *, patience_seconds: float = TIMEOUT_SECONDS, crowd: ConnectionQueue | None = None
    ) -> None:
        self._scripts = ScriptRunner(url, patience_seconds, crowd)

    async def exchange(self, backend: str, news: HealthUpdate) -> SharedHealth:
        """Tell and hear."""
        reply = await self._of_backend(_SYNC, backend, *_change_arguments(news.change), *_update_arguments(news))
        taken, version, reason, left, row, *pairs = reply
        models = zip(pairs[::2], pairs[1::2], strict=True)
        return SharedHealth(
            version=version,
            opening=_opening(reason.decode(), left, row) if reason else None,
            blocked={model.decode(): seconds / SECOND for model, seconds in models},
            taken=bool(taken),
        )

    async def probe(self, backend: str, name: str, version: int) -> bool:
        """Become the one that probes."""
        return bool(await self._of_backend(_CLAIM_PROBE, backend, name, version))

    async def enter(self, backend: str, party: SlotRequest, caps: Caps) -> CapReached | None:
        """Take calls and pictures of the account, all or none."""
        most = (caps.concurrent, caps.requests_per_minute, caps.images_per_minute)
        spelled = (party.name, party.calls, party.pictures, round(party.lease * SECOND))
        match await self._of_backend(_ACQUIRE_SLOTS, backend, *spelled, *("" if cap is None else cap for cap in most)):
            case [bytes(cap), int(wait)]:
                return CapReached(cap=Cap(cap.decode()), wait=None if wait == NEVER else wait / SECOND)
            case _:
                return None

    async def leave(self, backend: str, turns: Sequence[tuple[str, int]]) -> None:
        """Turns are over."""
        spelled: Iterable[Argument] = chain.from_iterable(turns)
        await self._of_backend(_RELEASE_SLOTS, backend, *spelled)

    async def close(self) -> None:
        """Close every connection."""
        await self._scripts.close()

    async def _of_backend(self, script: Script, backend: str, *arguments: Argument) -> Any:  # noqa: ANN401 (see `ScriptRunner`)
        return await self._scripts.run(script, tuple(f"igw:turn:{{{backend}}}:{key}" for key in KEYS), *arguments)


def _change_arguments(change: BreakerChange | None) -> tuple[Argument, ...]:
    if change is None:
        return ("", 0, "", 0, 0)
    if change.opening is None:
        return ("close", change.base, "", 0, 0)
    opening = change.opening
    return ("open", change.base, opening.reason.value, round(opening.seconds * SECOND), opening.in_a_row)


def _update_arguments(news: HealthUpdate) -> Iterator[Argument]:
    yield news.probe
    for model, seconds in news.blocked.items():
        yield from (model, round(seconds * SECOND))


def _opening(reason: str, left: int, row: int) -> SharedOpening:
    try:
        return SharedOpening(reason=FailureKind(reason), seconds=left / SECOND, in_a_row=row)
    except ValueError:
        raise StateUnavailable("The gateway's state holds a reason that cannot be read.") from None
