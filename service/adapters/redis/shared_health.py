"""Health of backends that replicas share, in Redis or Valkey, a single server or a cluster.

Rule: a verb is one script on keys of one slot, decided at once by the server's clock. Every key expires. An emptied
store knows nothing until the replicas sync again.

Fails with: `StateUnavailable` within 150 ms if a server refuses, hangs, is full, loading or read-only. A reason of a
newer replica that this one does not know is `StateUnavailable` too.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from service.adapters.dynamic_text import DynamicText
from service.adapters.redis.client import TIMEOUT_SECONDS
from service.adapters.redis.connection_pool import Argument, ConnectionQueue
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
    SharedHealthStore,
    SharedOpening,
    SlotRequest,
)

NEVER = -1
KEYS = ("health", "blocked", "probe", "calls", "rates2")

_SYNC, _CLAIM_PROBE, _ACQUIRE_SLOTS, _RELEASE_SLOTS = (
    load_script(verb, SCRIPTS / "shared_health") for verb in ("sync", "claim_probe", "acquire_slots", "release_slots")
)


class RedisSharedHealth(SharedHealthStore):
    """Shared health in Redis. A command may take `timeout_seconds` quiet seconds."""

    def __init__(
        self, url: DynamicText, *, timeout_seconds: float = TIMEOUT_SECONDS, queue: ConnectionQueue | None = None
    ) -> None:
        self._scripts = ScriptRunner(url, timeout_seconds, queue)

    async def sync(self, backend: str, update: HealthUpdate) -> SharedHealth:
        reply = await self._run_for_backend(
            _SYNC, backend, *_change_arguments(update.change), *_update_arguments(update)
        )
        is_accepted, version, reason, remaining, openings, *pairs = reply
        models = zip(pairs[::2], pairs[1::2], strict=True)
        return SharedHealth(
            version=version,
            opening=_opening(reason.decode(), remaining, openings) if reason else None,
            blocked={model.decode(): seconds / SECOND for model, seconds in models},
            is_accepted=bool(is_accepted),
        )

    async def claim_probe(self, backend: str, name: str, version: int) -> bool:
        return bool(await self._run_for_backend(_CLAIM_PROBE, backend, name, version))

    async def acquire_slots(self, backend: str, request: SlotRequest, caps: Caps) -> CapReached | None:
        caps_in_order = (caps.concurrent, caps.requests_per_minute, caps.images_per_minute)
        arguments = (request.name, request.calls, request.images, round(request.lease_seconds * SECOND))
        match await self._run_for_backend(
            _ACQUIRE_SLOTS, backend, *arguments, *("" if cap is None else cap for cap in caps_in_order)
        ):
            case [bytes(cap), int(wait)]:
                return CapReached(cap=Cap(cap.decode()), wait_seconds=None if wait == NEVER else wait / SECOND)
            case _:
                return None

    async def release_slots(self, backend: str, slots: Sequence[tuple[str, int]]) -> None:
        arguments: Iterable[Argument] = chain.from_iterable(slots)
        await self._run_for_backend(_RELEASE_SLOTS, backend, *arguments)

    async def close(self) -> None:
        await self._scripts.close()

    async def _run_for_backend(self, script: Script, backend: str, *arguments: Argument) -> Any:  # noqa: ANN401 (see `ScriptRunner`)
        return await self._scripts.run(script, tuple(f"igw:turn:{{{backend}}}:{key}" for key in KEYS), *arguments)


def _change_arguments(change: BreakerChange | None) -> tuple[Argument, ...]:
    if change is None:
        return ("", 0, "", 0, 0)
    if change.opening is None:
        return ("close", change.base_version, "", 0, 0)
    opening = change.opening
    return ("open", change.base_version, opening.reason.value, round(opening.seconds * SECOND), opening.openings)


def _update_arguments(update: HealthUpdate) -> Iterator[Argument]:
    yield update.probe
    for model, seconds in update.blocked.items():
        yield from (model, round(seconds * SECOND))


def _opening(reason: str, remaining: int, openings: int) -> SharedOpening:
    try:
        return SharedOpening(reason=FailureKind(reason), seconds=remaining / SECOND, openings=openings)
    except ValueError:
        raise StateUnavailable("The gateway's state holds a reason that cannot be read.") from None
