"""Builds what handlers are given, and the applications of both ports."""

import time

from litestar.types import ASGIApp

from service.adapters.exports import available_formats, missing_formats
from service.api.application import AppKind, SplitByPort, build, with_error_handling, with_request_middleware
from service.api.http.bodies import ArrivalLimits, BodyLimits
from service.api.http.dependencies import Dependencies, ImageLinkSettings
from service.composition.app_config import AppConfig, new_id, new_key_secret, now
from service.composition.generate import SharedParts
from service.composition.stores import StoreMonitors
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


def with_admin_port(plans: AppConfig, desk: Dependencies, trace: Tracer, callers: ASGIApp) -> ASGIApp:
    """Beside what callers ask for, what operators do on a port of their own, if there is one."""
    if plans.admin_port is None:
        return callers
    operators = build(desk, plans.observe, kind=AppKind.ADMIN)
    return SplitByPort(
        callers,
        with_request_middleware(with_error_handling(operators), plans.observe, new_id, time.monotonic, trace),
        plans.admin_port,
    )


def build_dependencies(
    plans: AppConfig,
    parts: SharedParts,
    make: MakeImages,
    stores: StoreMonitors,
) -> Dependencies:
    """Build what handlers are given."""
    settings, accounts, album, callers = plans.settings, parts.money, parts.images, parts.config_reload
    return Dependencies(
        make_images=make,
        image_storage=album.image_storage,
        config=callers,
        read_images=album.images,
        files=ManageFiles(images=album.images, listing=album.listing, codec=album.codec, new_id=new_id),
        quotas=accounts.quotas,
        ledger=accounts.ledger,
        key_store=accounts.key_store,
        issue_keys=IssueKeys(
            store=accounts.key_store,
            teams=lambda: callers.snapshot().teams,
            catalog=lambda: callers.snapshot().catalog,
            keys_in_file=lambda: {key.id: key.team.name for key in callers.config.team_directory.keys.values()},
            file=str(plans.files.folder / "teams.yaml"),
            now=now,
            new_secret=new_key_secret,
            new_id=new_id,
        ),
        report_usage=ReportUsage(ledger=accounts.ledger),
        export_usage=ExportUsage(ledger=accounts.ledger, formats=available_formats(), missing=missing_formats()),
        read_limits=ReadLimits(quotas=accounts.quotas, rebuild=accounts.hold_quota.rebuild),
        admission=parts.admission,
        purge_cache=PurgeCache(
            cached=CountCachedResults(
                results=accounts.results, snapshot=callers.snapshot, shared=settings.cache.shared
            ),
            key_store=accounts.key_store,
            now=now,
        ),
        admin_digest=settings.admin_digest,
        allowed_tags=settings.tags,
        in_flight_rules=InFlightRules(
            default=InFlightPolicy(settings.cache.in_flight), user_agents=settings.cache.vary_user_agents
        ),
        body_limits=build_body_limits(settings),
        uploads=album.uploads,
        image_links=ImageLinkSettings(
            sign_urls=parts.signed_urls,
            url_seconds=settings.images.link_seconds,
            public_url=settings.images.public_url,
        ),
        keepalive_seconds=settings.serving.keepalive_seconds,
        now=now,
        readiness=stores,
        log_prompts=settings.logs.prompts,
        gateway_id=plans.gateway_id,
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
    """The one key of `serve --dev`."""
    return Key(id="dev", team=Team(name="dev"), digest=key_digest(secret))
