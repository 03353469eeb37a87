"""Composition root: builds a runnable gateway from its settings.

Rule: `composition` builds the parts, one module for each cluster; only this module puts them together. Nothing connects
before the lifespan starts.

Fails with: `SettingsError`, if a setting cannot be used.
"""

import time
from dataclasses import dataclass

from litestar import Litestar
from litestar.types import ASGIApp

from service.adapters.redis.connection_pool import ConnectionQueue
from service.api.application import AppKind, build, with_error_handling, with_request_middleware
from service.api.http.metrics_endpoint import MetricsEndpoint
from service.composition.api import build_dependencies, with_admin_port
from service.composition.app_config import AppConfig, new_id
from service.composition.background import build_lifespan, build_tasks
from service.composition.generate import SharedParts, build_make_images
from service.composition.images import (
    build_images,
    build_reference_fetcher,
    build_sign_urls,
    build_tracer,
    image_location,
)
from service.composition.money import build_money
from service.composition.reloads import build_config_reload
from service.composition.stores import Drain, build_store_monitors
from service.composition.upstream import build_upstream
from service.settings.storage_url import Storage
from service.usecases.background.supervisor import FatalReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """Gateway that a server can run.

    Attributes:
        drain: Shutdown state, which the server sets.
        fatal: Reason why the process cannot continue, if there is one.
        tasks: Names of the background tasks.
        backends: Names of the backends that are on.
        image_storage: Place of stored images.
    """

    asgi: ASGIApp
    litestar: Litestar
    drain: Drain
    fatal: FatalReport
    tasks: tuple[str, ...]
    backends: tuple[str, ...]
    image_storage: Storage | None


def assemble(config: AppConfig) -> Gateway:
    """Build a gateway. Raises `SettingsError`."""
    settings, observer = config.settings, config.observer
    tracer, fetcher, drain = build_tracer(settings), build_reference_fetcher(settings), Drain()
    queue = ConnectionQueue(max_waiting=settings.redis.max_waiting)
    upstream = build_upstream(config, queue)
    money = build_money(config, queue, drain)
    parts = SharedParts(
        money=money,
        images=build_images(config, money.database),
        upstream=upstream,
        stores=build_store_monitors(config, drain),
        config_reload=build_config_reload(config, money, frozenset(upstream.backends)),
        sign_urls=build_sign_urls(config),
        tracer=tracer,
    )
    deps = build_dependencies(config, parts, build_make_images(config, parts, fetcher, queue))

    # Entries and the replica's name are written first, while the stores are still connected.
    clients = (*upstream.connections(), fetcher, *parts.stores.connections(), *money.connections())
    tasks = build_tasks(config, parts)
    lifespan = build_lifespan(config, parts, tasks, (*money.close_first(), upstream.admission, *clients, tracer))

    app = build(deps, observer, lifespan, kind=AppKind.BOTH if config.admin_port is None else AppKind.DATA)
    asgi = with_request_middleware(
        with_error_handling(app, settings.cors.origins), observer, new_id, time.monotonic, tracer
    )
    data_app = MetricsEndpoint(asgi, config.metrics_renderer) if config.metrics_renderer else asgi
    return Gateway(
        asgi=with_admin_port(config, deps, tracer, data_app),
        litestar=app,
        drain=drain,
        fatal=config.fatal,
        tasks=tuple(tasks),
        backends=tuple(upstream.backends),
        image_storage=image_location(config),
    )
