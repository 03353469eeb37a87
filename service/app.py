"""The composition root: the only module that knows all the others.

Rule: settings go in, a runnable application comes out; nothing is looked up anywhere else. What cannot work stops the
start with `SettingsError`.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from litestar import Litestar
from litestar.types import ASGIApp

from service.adapters.redis.connection_pool import ConnectionQueue
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
from service.usecases.background.supervisor import FatalReport, TaskFunction
from service.usecases.ports.backends import Backends

NO_BACKEND = "No backend is on: set the environment variable of a vendor's key, or switch the sandbox on."


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A gateway that a server can run. `backends` are the names of those that are on, `image_storage` is where they go.

    `tasks` names what runs behind the requests; `fatal` says why it cannot go on.
    """

    asgi: ASGIApp
    litestar: Litestar
    drain: Drain
    fatal: FatalReport
    tasks: tuple[str, ...]
    backends: tuple[str, ...]
    image_storage: Storage | None


def assemble(config: AppConfig) -> Gateway:
    """Put a gateway together. Connects to nothing yet."""
    settings, observe = config.settings, config.observe
    vendors = {name: build_vendor(settings, name, config.gateway_id) for name in settings.api_keys}
    backends: Backends = {**vendors, **build_sandbox(settings)}
    if not backends:
        raise SettingsError(NO_BACKEND)
    trace = build_tracer(settings)
    links, drain = build_reference_fetcher(settings), Drain()
    queue = ConnectionQueue(max_waiting=settings.redis.max_waiting)
    shared_health = build_shared_health(config, queue)
    admission = build_admission(config, shared_health)
    money = build_money(config, queue, lambda: drain.is_draining)
    images = build_images(config, money.database)
    config_reload = build_config_reload(config, money, frozenset(backends))
    stores = build_store_monitors(config, drain)
    readings, loop = build_collect_gauges(config, money, config_reload), build_loop_monitor(config)
    signed_urls = build_sign_urls(config)
    secret_reload = build_secret_reload(config, config_reload, admission, signed_urls)
    tasks: Mapping[str, TaskFunction] = {
        **money.background_tasks(),
        "reload settings": config_reload.run,
        "reload secrets": secret_reload.run,
        "check eviction": stores.eviction_warning.run,
        "watch the stores": stores.watch.run,
        "collect readings": readings.run,
        "watch the loop": loop.run,
        "share health": admission.run,
        **build_probe_tasks(config, admission, vendors),
        **images.background_tasks(config),
    }

    parts = SharedParts(
        money=money,
        images=images,
        config_reload=config_reload,
        admission=admission,
        signed_urls=signed_urls,
        tracer=trace,
    )
    clients: Sequence[Closeable] = (*vendors.values(), links, *stores.parts(), shared_health)
    closing = (*money.close_first(), admission, *clients, *money.connections(), trace)
    running = build_lifespan(config, parts, tasks, closing)
    make = build_make_images(config, backends, links, parts, queue)
    deps = build_dependencies(config, parts, make, stores)
    app = build(deps, observe, running, kind=AppKind.BOTH if config.admin_port is None else AppKind.DATA)
    asgi = with_request_middleware(
        with_error_handling(app, settings.cors.origins), observe, new_id, time.monotonic, trace
    )
    scraped = MetricsEndpoint(asgi, config.metrics_renderer) if config.metrics_renderer else asgi
    return Gateway(
        asgi=with_admin_port(config, deps, trace, scraped),
        litestar=app,
        drain=drain,
        fatal=config.fatal,
        tasks=tuple(tasks),
        backends=tuple(backends),
        image_storage=image_location(config),
    )
