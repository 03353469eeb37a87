"""Builds the tasks that run behind requests."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from litestar import Litestar

from service.composition.app_config import AppConfig, Closeable, now
from service.composition.generate import SharedParts
from service.composition.money import MoneyParts
from service.usecases.admin.collect_gauges import CollectGauges
from service.usecases.admin.config_reload import ConfigReload
from service.usecases.background.loop_lag import LoopLagMonitor
from service.usecases.background.supervisor import TaskFunction, log_unhandled_errors, supervise
from service.usecases.money.read_limits import ReadLimits


def build_lifespan(
    plans: AppConfig, parts: SharedParts, tasks: Mapping[str, TaskFunction], closing: Sequence[Closeable]
) -> Callable[[Litestar], AbstractAsyncContextManager[None]]:
    """What goes on while requests are served. At its end the parts in `closing` are closed, the first one first."""

    @asynccontextmanager
    async def running(_: Litestar) -> AsyncIterator[None]:
        log_unhandled_errors(plans.observe)
        async with AsyncExitStack() as ended:  # each is closed, whatever the others do
            for part in reversed(closing):
                ended.push_async_callback(part.close)
            await parts.config_reload.refresh()
            await (
                parts.money.hold_quota.recount_reports.heartbeat()
            )  # before the first hold: a rebuild elsewhere waits for this one
            async with supervise(plans.observe, plans.fatal, tasks):
                yield
                await parts.detached.close()

    return running


def build_collect_gauges(plans: AppConfig, accounts: MoneyParts, callers: ConfigReload) -> CollectGauges:
    """Build the collection of budgets, keys and backlogs for metrics."""
    return CollectGauges(
        config=callers,
        settlement=accounts.settlement,
        read_limits=ReadLimits(quotas=accounts.quotas, rebuild=accounts.hold_quota.rebuild),
        observe=plans.observe,
        now=now,
        sleep=asyncio.sleep,
        interval_seconds=plans.settings.metrics.collect_seconds,
    )


def build_loop_monitor(plans: AppConfig) -> LoopLagMonitor:
    """Build the measurement of the event loop's lag."""
    return LoopLagMonitor(observe=plans.observe, monotonic=time.monotonic, sleep=asyncio.sleep)
