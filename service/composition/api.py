"""Dependencies of the handlers, and the application of the admin port.

Rule: the handlers get use cases and settings alone, no adapters but uploads.
"""

import time

from litestar.types import ASGIApp

from service.adapters.exports import available_formats, missing_formats
from service.api.application import AppKind, SplitByPort, build, with_error_handling, with_request_middleware
from service.api.http.bodies import ArrivalLimits, BodyLimits
from service.api.http.dependencies import Dependencies, ImageLinkSettings
from service.composition.app_config import AppConfig, new_id, new_key_secret, now
from service.composition.generate import SharedParts
from service.domain.cache_directives import InFlightRules
from service.domain.team_access import InFlightPolicy, Key, Team, key_digest
from service.settings.gateway import GatewaySettings
from service.usecases.admin.issue_keys import IssueKeys
from service.usecases.admin.purge_cache import CountCachedResults, PurgeCache
from service.usecases.generate.make_images import MakeImages
from service.usecases.images.manage_files import ManageFiles
from service.usecases.money.export_usage import ExportUsage
from service.usecases.money.read_limits import ReadLimits
from service.usecases.money.report_usage import ReportUsage
from service.usecases.ports.tracing import Tracer


def with_admin_port(config: AppConfig, deps: Dependencies, tracer: Tracer, data_app: ASGIApp) -> ASGIApp:
    """Add the application of the admin port, if the admin API has a port of its own."""
    if config.admin_port is None:
        return data_app
    admin_app = build(deps, config.observer, kind=AppKind.ADMIN)
    return SplitByPort(
        data_app,
        with_request_middleware(with_error_handling(admin_app), config.observer, new_id, time.monotonic, tracer),
        config.admin_port,
    )


def build_dependencies(
    config: AppConfig,
    parts: SharedParts,
    make: MakeImages,
) -> Dependencies:
    """Build the use cases and the settings that the handlers need."""
    settings, money, images, config_reload = config.settings, parts.money, parts.images, parts.config_reload
    return Dependencies(
        make_images=make,
        image_storage=images.image_storage,
        config=config_reload,
        read_images=images.images,
        files=ManageFiles(images=images.images, listing=images.listing, codec=images.codec, new_id=new_id),
        key_store=money.key_store,
        issue_keys=IssueKeys(
            store=money.key_store,
            teams=lambda: config_reload.snapshot().teams,
            catalog=lambda: config_reload.snapshot().catalog,
            keys_in_file=lambda: {key.id: key.team.name for key in config_reload.config.team_directory.keys.values()},
            file=str(config.files.folder / "teams.yaml"),
            now=now,
            new_secret=new_key_secret,
            new_id=new_id,
        ),
        report_usage=ReportUsage(ledger=money.ledger),
        export_usage=ExportUsage(ledger=money.ledger, formats=available_formats(), missing=missing_formats()),
        read_limits=ReadLimits(quotas=money.quotas, hold_quota=money.hold_quota),
        admission=parts.upstream.admission,
        purge_cache=PurgeCache(
            cached=CountCachedResults(results=money.results, config=config_reload, shared=settings.cache.shared),
            key_store=money.key_store,
            now=now,
        ),
        admin_digest=settings.admin_digest,
        allowed_tags=settings.tags,
        in_flight_rules=InFlightRules(
            default=InFlightPolicy(settings.cache.in_flight), user_agents=settings.cache.vary_user_agents
        ),
        body_limits=build_body_limits(settings),
        uploads=images.uploads,
        image_links=ImageLinkSettings(
            sign_urls=parts.sign_urls,
            url_seconds=settings.images.link_seconds,
            public_url=settings.images.public_url,
        ),
        keepalive_seconds=settings.serving.keepalive_seconds,
        now=now,
        readiness=parts.stores,
        log_prompts=settings.logs.prompts,
        gateway_id=config.gateway_id,
    )


def build_body_limits(settings: GatewaySettings) -> BodyLimits:
    """Build the limits of request bodies from the settings."""
    entry = settings.requests
    return BodyLimits(
        max_json_bytes=entry.max_json_bytes,
        max_form_bytes=entry.max_form_bytes,
        arrival=ArrivalLimits(
            idle_seconds=entry.idle_seconds,
            body_seconds=entry.body_seconds,
            min_bytes_per_second=entry.min_bytes_per_second,
        ),
    )


def dev_key(secret: str) -> Key:
    """Return the key of `serve --dev`, whose team has no limits."""
    return Key(id="dev", team=Team(name="dev"), digest=key_digest(secret))
