"""Builds the monitors of Redis and the database, and what drains them."""

from collections.abc import Mapping
from dataclasses import dataclass

from service.adapters.redis.client import BACKGROUND_TIMEOUT_SECONDS, RedisServer
from service.composition.app_config import AppConfig, Closeable
from service.usecases.background.eviction_warning import CACHE_VARIABLE, NEARLY_FULL, STATE_VARIABLE, EvictionWarning
from service.usecases.background.watch_stores import WatchStores


@dataclass(slots=True)
class Drain:
    """Whether this replica is on its way out."""

    is_draining: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreMonitors:
    """The store of money and that of results, as readiness and the log tell of them."""

    state: RedisServer
    cache: RedisServer
    eviction_warning: EvictionWarning
    watch: WatchStores
    drain: Drain

    async def problems(self) -> Mapping[str, str]:
        """Return why nothing is admitted now, by part; empty if all is well."""
        if self.drain.is_draining:
            return {"gateway": "is shutting down"}
        problem = await self.state.problem()
        return {"redis": problem} if problem else {}

    def warnings(self) -> Mapping[str, str]:
        """Return what an operator has to mend soon, by part."""
        if self.eviction_warning.fullness is None or self.eviction_warning.fullness < NEARLY_FULL:
            return {}
        return {"redis": f"{self.eviction_warning.fullness:.0%} of its memory is used"}

    def parts(self) -> tuple[Closeable, ...]:
        """Return the connections, which are closed at the end."""
        return (self.state, self.cache)


def build_store_monitors(plans: AppConfig, drain: Drain) -> StoreMonitors:
    """Build the checks of Redis and the cache, whose findings make a replica unready."""
    state, cache = RedisServer(plans.stores.redis_url), RedisServer(plans.stores.cache_url, needs_scripts=False)
    return StoreMonitors(
        state=state,
        cache=cache,
        eviction_warning=EvictionWarning(
            quota_store=state, has_results=state.is_same_server(plans.stores.cache_url), observe=plans.observe
        ),
        watch=WatchStores(
            stores={STATE_VARIABLE: state, CACHE_VARIABLE: cache},
            timeout_seconds=BACKGROUND_TIMEOUT_SECONDS,
            observe=plans.observe,
        ),
        drain=drain,
    )
