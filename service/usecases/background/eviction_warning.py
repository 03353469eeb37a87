"""Warning of a store that may evict quotas and holds to free memory, checked in the background.

Rule: the check only reports; readiness and metrics show how full the store is. The check is repeated, because a
failover may bring a server with other settings. A risk is reported once, and again when it comes back.

Fails with: nothing. A store that does not answer is no risk, because readiness reports that. The start does not wait.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from service.usecases.ports.events import StoreMemoryMeasured, StoreUnsafe
from service.usecases.ports.monitored_store import MonitoredStore, ServerMemory
from service.usecases.ports.observer import Observer

STATE_VARIABLE, CACHE_VARIABLE = "REDIS_URL", "CACHE_REDIS_URL"
NO_EVICTION = "noeviction"
VOLATILE_PREFIX = "volatile-"
EVICTS_ALL = "to make room it drops anything: counters, open holds, entries on their way to the ledger"
EVICTS_VOLATILE = (
    "to make room it drops flights and ended holds, which have a time to live: what was bought may be bought again"
)
NEARLY_FULL = 0.85
NEARLY_FULL_PROBLEM = f"{NEARLY_FULL:.0%} or more of its memory is used: when it is full, nothing new is admitted"
SHARED_SERVER_PROBLEM = (
    "results are kept there too and its memory is bounded: when they fill it, no call is admitted or money is dropped"
)


@dataclass(slots=True, kw_only=True)
class EvictionWarning:
    """The check of the quota store's servers.

    Attributes:
        has_results: Whether the cache is on the same servers.
        fullness: Used part of the fullest server's memory at the last check; None if no server has a bound.
    """

    quota_store: MonitoredStore
    has_results: bool
    observer: Observer
    interval_seconds: float = 15.0
    fullness: float | None = None
    _reported: Sequence[StoreUnsafe] = field(default=())

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            await self.check()
            await asyncio.sleep(self.interval_seconds)

    async def check(self) -> None:
        """Check once, and report new risks."""
        servers = await self.quota_store.memory()
        if not servers:
            return
        self.fullness = fullest(servers)
        self.observer.record(StoreMemoryMeasured(ratio=self.fullness))
        risks = find_risks(servers, shared=self.has_results)
        for risk in risks:
            if risk not in self._reported:
                self.observer.record(risk)
        self._reported = risks


def fullest(servers: Iterable[ServerMemory]) -> float | None:
    """Return the used part of the fullest bounded server's memory."""
    return max((server.used_bytes / server.max_bytes for server in servers if server.max_bytes > 0), default=None)


def find_risks(servers: Iterable[ServerMemory], *, shared: bool) -> Sequence[StoreUnsafe]:
    """Return the risks of the quota store's servers, each once.

    A server without a bound evicts nothing, whatever its policy. A shared cache on such a server is no risk either:
    results have a time to live, and small sites begin with one server. A warning at each of their starts would teach
    operators to ignore warnings. With a bound a shared cache is a risk, because results can evict or block quota data.
    """
    bounded = [server for server in servers if server.max_bytes > 0]
    risks = [_eviction_risk(server.policy) for server in bounded if server.policy != NO_EVICTION]
    if bounded and shared:
        risks.append(
            StoreUnsafe(
                store=STATE_VARIABLE,
                problem=SHARED_SERVER_PROBLEM,
                advice=f"set {CACHE_VARIABLE} to a server of its own",
            )
        )
    if (fullest(bounded) or 0.0) >= NEARLY_FULL:
        risks.append(StoreUnsafe(store=STATE_VARIABLE, problem=NEARLY_FULL_PROBLEM, advice="give it more memory"))
    return tuple(dict.fromkeys(risks))


def _eviction_risk(policy: str) -> StoreUnsafe:
    drops = EVICTS_VOLATILE if policy.startswith(VOLATILE_PREFIX) else EVICTS_ALL
    return StoreUnsafe(
        store=STATE_VARIABLE,
        problem=f"maxmemory-policy {policy}: {drops}",
        advice=f"set maxmemory-policy {NO_EVICTION}",
    )
