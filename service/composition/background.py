"""Background tasks of a replica, and their lifespan.

Rule: tasks start after the first reload of settings and keys. At the end the parts close in the given order.

Fails with: a task that ends is started again, or ends the process (`supervise`).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from litestar import Litestar

from service.composition.app_config import AppConfig, Closeable, now
from service.composition.generate import SharedParts
from service.composition.reloads import build_reload_tasks
from service.usecases.admin.collect_gauges import CollectGauges
from service.usecases.background.loop_lag import LoopLagMonitor
from service.usecases.background.supervisor import TaskFunction, log_unhandled_errors, supervise
from service.usecases.money.read_limits import ReadLimits


def build_lifespan(
    config: AppConfig, parts: SharedParts, tasks: Mapping[str, TaskFunction], closing: Sequence[Closeable]
) -> Callable[[Litestar], AbstractAsyncContextManager[None]]:
    """Build the lifespan: tasks run while requests are served, then the parts in `closing` close in order."""

    @asynccontextmanager
    async def running(_: Litestar) -> AsyncIterator[None]:
        log_unhandled_errors(config.observer)
        async with AsyncExitStack() as ended:  # each part is closed even if another one fails
            for part in reversed(closing):
                ended.push_async_callback(part.close)
            await parts.config_reload.refresh()
            # Before the first hold, so that a rebuild in another replica waits for this replica.
            await parts.money.hold_quota.recount_reports.heartbeat()
            async with supervise(config.observer, config.fatal, tasks):
                yield
                await parts.detached.close()

    return running


def build_tasks(config: AppConfig, parts: SharedParts) -> Mapping[str, TaskFunction]:
    """Build the background tasks of all clusters, by the names that logs and messages have."""
    return {
        **parts.money.background_tasks(),
        **build_reload_tasks(config, parts),
        **parts.stores.background_tasks(),
        "collect gauges": _build_collect_gauges(config, parts).run,
        "measure loop lag": LoopLagMonitor(observer=config.observer, monotonic=time.monotonic, sleep=asyncio.sleep).run,
        **parts.upstream.background_tasks(config),
        **parts.images.background_tasks(config),
    }


def _build_collect_gauges(config: AppConfig, parts: SharedParts) -> CollectGauges:
    money = parts.money
    return CollectGauges(
        config=parts.config_reload,
        settlement=money.settlement,
        read_limits=ReadLimits(quotas=money.quotas, hold_quota=money.hold_quota),
        observer=config.observer,
        now=now,
        sleep=asyncio.sleep,
        interval_seconds=config.settings.metrics.collect_seconds,
    )
