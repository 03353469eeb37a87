"""The composition root: the only module that knows all the others.

Rule: settings go in, a runnable application comes out; nothing is looked up anywhere else. What cannot work stops the
start with `SettingsError`.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from litestar import Litestar
from litestar.types import ASGIApp

from service.adapters.redis.connection_queue import ConnectionQueue
from service.api.application import AppKind, build, with_error_handling, with_request_middleware
from service.api.http.metrics_endpoint import MetricsEndpoint
from service.composition.api import build_dependencies, with_admin_port
from service.composition.app_config import AppConfig, Closeable, new_id
from service.composition.background import build_collect_gauges, build_lifespan, build_loop_monitor
from service.composition.generate import SharedParts, build_make_images
from service.composition.images import (
    build_images,
    build_reference_fetcher,
    build_sign_urls,
    build_tracer,
    image_location,
)
from service.composition.money import build_money
from service.composition.reloads import build_config_reload, build_secret_reload
from service.composition.stores import Drain, build_store_monitors
from service.composition.upstream import (
    build_admission,
    build_probe_tasks,
    build_sandbox,
    build_shared_health,
    build_vendor,
)
from service.settings.storage_url import Storage
from service.settings.yaml_file import SettingsError
from service.usecases.background.detached_tasks import DetachedTasks
from service.usecases.background.supervisor import FatalReport, TaskFunction
from service.usecases.ports.backends import Backends


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A gateway that a server can run. `backends` are the names of those that are on, `pictures` is where they go.

    `tasks` names what runs behind the requests; `fatal` says why it cannot go on.
    """

    asgi: ASGIApp
    litestar: Litestar
    drain: Drain
    fatal: FatalReport
    tasks: tuple[str, ...]
    backends: tuple[str, ...]
    pictures: Storage | None


def assemble(plans: AppConfig) -> Gateway:
    """Put a gateway together. Connects to nothing yet."""
    settings, observe = plans.settings, plans.observe
    vendors = {name: build_vendor(settings, name, plans.gateway_id) for name in settings.api_keys}
    backends: Backends = {**vendors, **build_sandbox(settings)}
    if not backends:
        raise SettingsError(
            "No backend is on: set the environment variable of a vendor's key, or switch the sandbox on.",
        )
    trace = build_tracer(settings)
    links, drain = build_reference_fetcher(settings), Drain()
    crowd = ConnectionQueue(most=settings.state.most_waiting)
    turnstile = build_shared_health(plans, crowd)
    turns = build_admission(plans, turnstile)
    accounts, detached = build_money(plans, crowd, lambda: drain.begun), DetachedTasks()
    album = build_images(plans, accounts.database)
    callers = build_config_reload(plans, accounts, frozenset(backends))
    stores = build_store_monitors(plans, drain)
    readings, loop = build_collect_gauges(plans, accounts, callers), build_loop_monitor(plans)
    signs = build_sign_urls(plans)
    renew = build_secret_reload(plans, callers, turns, signs)
    tasks: Mapping[str, TaskFunction] = {
        **accounts.background(),
        "reload settings": callers.run,
        "reload secrets": renew.run,
        "check eviction": stores.warn.run,
        "watch the stores": stores.watch.run,
        "collect readings": readings.run,
        "watch the loop": loop.run,
        "share health": turns.run,
        **build_probe_tasks(plans, turns, vendors),
        **album.background(plans),
    }

    parts = SharedParts(
        accounts=accounts, album=album, callers=callers, detached=detached, turns=turns, signs=signs, trace=trace
    )
    connected: tuple[Closeable, ...] = (*vendors.values(), links, *stores.parts(), turnstile, *accounts.parts(), trace)
    running = build_lifespan(plans, parts, tasks, (*accounts.last(), turns, *connected))
    make = build_make_images(plans, backends, links, parts, crowd)
    desk = build_dependencies(plans, parts, make, stores)
    app = build(desk, observe, running, plane=AppKind.BOTH if plans.admin_port is None else AppKind.CALLERS)
    asgi = with_request_middleware(
        with_error_handling(app, settings.cors.origins), observe, new_id, time.monotonic, trace
    )
    scraped = MetricsEndpoint(asgi, plans.tell) if plans.tell else asgi
    return Gateway(
        asgi=with_admin_port(plans, desk, trace, scraped),
        litestar=app,
        drain=drain,
        fatal=plans.fatal,
        tasks=tuple(tasks),
        backends=tuple(backends),
        pictures=image_location(plans),
    )
