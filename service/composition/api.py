"""Builds what handlers are given, and the applications of both ports."""

import time

from litestar.types import ASGIApp

from service.adapters.exports import available_formats, missing_formats
from service.api.application import AppKind, build, with_error_handling, with_request_middleware
from service.api.http.bodies import ArrivalLimits, BodyLimits
from service.api.http.dependencies import Dependencies, ImageLinkSettings
from service.api.planes import SplitByPort
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
    operators = build(desk, plans.observe, plane=AppKind.OPERATORS)
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
    settings, accounts, album, callers = plans.settings, parts.accounts, parts.album, parts.callers
    return Dependencies(
        make=make,
        keep=album.keep,
        live=callers.live,
        pictures=album.pictures,
        files=ManageFiles(pictures=album.pictures, listing=album.files, darkroom=album.darkroom, mint=new_id),
        ledger=accounts.ledger,
        books=accounts.books,
        key_store=accounts.key_store,
        issue=IssueKeys(
            store=accounts.key_store,
            teams=lambda: callers.live().teams,
            catalog=lambda: callers.live().catalog,
            in_file=lambda: {key.id: key.team.name for key in callers.known.roster.keys.values()},
            file=str(plans.files.folder / "teams.yaml"),
            now=now,
            secret=new_key_secret,
            mint=new_id,
        ),
        report=ReportUsage(books=accounts.books),
        export=ExportUsage(books=accounts.books, formats=available_formats(), missing=missing_formats()),
        standings=ReadLimits(ledger=accounts.ledger, rebuild=accounts.hold.rebuild),
        backends=parts.turns.standings,
        purge=PurgeCache(
            count=CountCachedResults(results=accounts.results, live=callers.live, shared=settings.cache.shared),
            key_store=accounts.key_store,
            now=now,
        ),
        admin=settings.admin_digest,
        tags=settings.tags,
        in_flight=InFlightRules(
            default=InFlightPolicy(settings.cache.in_flight), user_agents=settings.cache.vary_user_agents
        ),
        limits=build_body_limits(settings),
        links=ImageLinkSettings(
            signs=parts.signs,
            seconds=settings.pictures.link_seconds,
            public_url=settings.pictures.public_url,
        ),
        keepalive_seconds=settings.serving.keepalive_seconds,
        now=now,
        ready=stores.problems,
        warnings=stores.warnings,
        log_prompts=settings.logs.prompts,
        gateway_id=plans.gateway_id,
    )


def build_body_limits(settings: GatewaySettings) -> BodyLimits:
    """Build the limits of request bodies from the settings."""
    entry = settings.requests
    return BodyLimits(
        most_json_bytes=entry.most_json_bytes,
        most_form_bytes=entry.most_form_bytes,
        most_picture_bytes=entry.most_picture_bytes,
        pace=ArrivalLimits(
            idle_seconds=entry.idle_seconds,
            body_seconds=entry.body_seconds,
            least_rate=entry.least_bytes_per_second,
        ),
    )


def dev_key(secret: str) -> Key:
    """The one key of `serve --dev`."""
    return Key(id="dev", team=Team(name="dev"), digest=key_digest(secret))
