"""The dependencies of the route handlers: use cases, stores and settings, built by `composition/api.py`.

Rule: handlers take everything from here, and nothing from globals of modules. A handler takes one snapshot of the
reloadable configuration, so that a request sees one version of it.

Fails with: `NotAuthenticated`, where a request has no valid key of a team.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from service.api.http.bodies import BodyLimits
from service.api.http.request_context import Connection, Http, request_context
from service.domain.cache_directives import InFlightRules
from service.domain.errors import NotAuthenticated
from service.domain.team_access import Key, authenticate
from service.usecases.admin.config_reload import ConfigReload
from service.usecases.admin.issue_keys import IssueKeys
from service.usecases.admin.purge_cache import PurgeCache
from service.usecases.generate.make_images import MakeImages
from service.usecases.images.image_storage import ImageStorage
from service.usecases.images.manage_files import ManageFiles
from service.usecases.images.read_images import ReadImages
from service.usecases.images.sign_urls import SignUrls
from service.usecases.money.export_usage import ExportUsage
from service.usecases.money.read_limits import ReadLimits
from service.usecases.money.report_usage import ReportUsage
from service.usecases.ports.key_store import KeyStore
from service.usecases.ports.uploads import Uploads
from service.usecases.upstream.upstream_admission import UpstreamAdmission

DEPENDENCIES_KEY = "dependencies"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLinkSettings:
    """Settings of the addresses of stored images.

    Attributes:
        sign_urls: Signs and checks addresses.
        url_seconds: Lifetime of an address.
        public_url: Root of the addresses; None takes it from the request.
    """

    sign_urls: SignUrls
    url_seconds: int
    public_url: str | None


class Readiness(Protocol):
    """The checks behind `/health/ready`."""

    async def problems(self) -> Mapping[str, str]:
        """Return the reason why nothing is admitted now, by part. Empty means ready."""
        ...

    def warnings(self) -> Mapping[str, str]:
        """Return what an operator has to mend soon, by part."""
        ...


class AdminDigest(Protocol):
    """The digest of the admin key, which may be rotated."""

    def current(self) -> str:
        """Return the digest of the key that is valid now."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies:
    """The dependencies of all handlers.

    Attributes:
        config: Models, teams and keys in force.
        admission: State of the backends, as this replica sees it.
        admin_digest: Digest of the admin key; None without an admin key.
        allowed_tags: Names that callers may use in `x-gateway-tags`.
        keepalive_seconds: Interval of the signs of life in a response that has started.
        now: Gives an aware UTC time.
        log_prompts: Whether prompts are logged.
        gateway_id: The id that all replicas put into the header of `domain/loop_detection.py`.
    """

    make_images: MakeImages
    image_storage: ImageStorage
    config: ConfigReload
    read_images: ReadImages
    files: ManageFiles
    key_store: KeyStore
    issue_keys: IssueKeys
    report_usage: ReportUsage
    export_usage: ExportUsage
    read_limits: ReadLimits
    admission: UpstreamAdmission
    purge_cache: PurgeCache
    admin_digest: AdminDigest | None
    allowed_tags: frozenset[str]
    in_flight_rules: InFlightRules
    body_limits: BodyLimits
    uploads: Uploads
    image_links: ImageLinkSettings
    keepalive_seconds: float
    now: Callable[[], datetime]
    readiness: Readiness
    log_prompts: bool
    gateway_id: str


def dependencies(request: Connection) -> Dependencies:
    """Return the dependencies of the application that serves a request."""
    deps: Dependencies = request.app.state[DEPENDENCIES_KEY]
    return deps


def require_team_key(connection: Connection) -> None:
    """Check the key of a data-plane request, and put it into the context. Raises `NotAuthenticated`."""
    context, deps = request_context(connection.scope), dependencies(connection)
    key = authenticate(_authorization(connection), deps.config.snapshot().keys, deps.now())
    context.key = key
    context.log(team=key.team.name, key=key.id)


def _authorization(connection: Connection) -> str | None:
    """Return the header `Authorization`, or else the key of the header `api-key`, which Azure's SDKs send."""
    headers = connection.headers
    return headers.get("authorization") or (f"Bearer {headers['api-key']}" if "api-key" in headers else None)


def caller_key(request: Http) -> Key:
    """Return the key of an authenticated request."""
    key = request_context(request.scope).key
    if key is None:
        raise NotAuthenticated("This path needs an API key.")
    return key
