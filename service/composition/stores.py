"""Monitors of the Redis servers, and the readiness of a replica.

Rule: a replica is ready if it is not shutting down and Redis answers. A full memory is a warning.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from service.adapters.redis.client import BACKGROUND_TIMEOUT_SECONDS, RedisServer
from service.composition.app_config import AppConfig, Closeable
from service.usecases.background.eviction_warning import CACHE_VARIABLE, NEARLY_FULL, STATE_VARIABLE, EvictionWarning
from service.usecases.background.supervisor import TaskFunction
from service.usecases.background.watch_stores import WatchStores


@dataclass(slots=True)
class Drain:
    """Shutdown state of this replica."""

    is_draining: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreMonitors:
    """Monitors of the servers of quotas and of cached results."""

    state: RedisServer
    cache: RedisServer
    eviction_warning: EvictionWarning
    watch: WatchStores
    drain: Drain

    async def problems(self) -> Mapping[str, str]:
        """Return the reasons why the replica is not ready, by part; empty if it is ready."""
        if self.drain.is_draining:
            return {"gateway": "is shutting down"}
        problem = await self.state.problem()
        return {"redis": problem} if problem else {}

    def warnings(self) -> Mapping[str, str]:
        """Return the conditions that an operator has to repair soon, by part."""
        if self.eviction_warning.fullness is None or self.eviction_warning.fullness < NEARLY_FULL:
            return {}
        return {"redis": f"{self.eviction_warning.fullness:.0%} of its memory is used"}

    def background_tasks(self) -> Mapping[str, TaskFunction]:
        """Return the tasks that check memory and connections."""
        return {"check eviction": self.eviction_warning.run, "check stores": self.watch.run}

    def connections(self) -> tuple[Closeable, ...]:
        """Return the connections, which are closed at the end."""
        return (self.state, self.cache)


def build_store_monitors(config: AppConfig, drain: Drain) -> StoreMonitors:
    """Build the monitors of Redis and of the cache."""
    state, cache = RedisServer(config.stores.redis_url), RedisServer(config.stores.cache_url, needs_scripts=False)
    return StoreMonitors(
        state=state,
        cache=cache,
        eviction_warning=EvictionWarning(
            quota_store=state, has_results=state.is_same_server(config.stores.cache_url), observer=config.observer
        ),
        watch=WatchStores(
            stores={STATE_VARIABLE: state, CACHE_VARIABLE: cache},
            timeout_seconds=BACKGROUND_TIMEOUT_SECONDS,
            observer=config.observer,
        ),
        drain=drain,
    )
