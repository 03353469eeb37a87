"""What the handlers are given: use cases and values, put together by `app.py`.

Rule: handlers take everything from the desk and nothing from modules. `live` gives the part that a reload replaces, as
a whole, so that a request sees one version of it.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from service.api.http.bodies import BodyLimits
from service.api.http.request_context import Connection, Http, request_context
from service.domain.cache_directives import InFlightRules
from service.domain.errors import NotAuthenticated
from service.domain.team_access import Key, authenticate
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
from service.usecases.ports.config import ConfigSnapshot
from service.usecases.ports.key_store import KeyStore
from service.usecases.ports.ledger import Ledger
from service.usecases.ports.quota_store import QuotaStore
from service.usecases.ports.uploads import Uploads
from service.usecases.upstream.backend_health import BackendStatus

DEPENDENCIES_KEY = "dependencies"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLinkSettings:
    """How pictures are handed out by address: who signs, and how many seconds a link is good."""

    sign_urls: SignUrls
    url_seconds: int
    public_url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies:
    """Everything that handlers need. `now` gives an aware UTC time, `readiness` a line for each part that is not well.

    `warnings` has one line for each part that is well, but needs an operator. `admin_digest` says the digest of the
    admin key, if there is one. `gateway_id` is what all replicas put into the header of `domain/loop_detection.py`.
    """

    make_images: MakeImages
    image_storage: ImageStorage
    config: Callable[[], ConfigSnapshot]
    read_images: ReadImages
    files: ManageFiles
    quotas: QuotaStore
    ledger: Ledger
    key_store: KeyStore
    issue_keys: IssueKeys
    report_usage: ReportUsage
    export_usage: ExportUsage
    read_limits: ReadLimits
    backend_status: Callable[[], Sequence[BackendStatus]]
    purge_cache: PurgeCache
    admin_digest: Callable[[], str] | None
    allowed_tags: frozenset[str]
    in_flight_rules: InFlightRules
    body_limits: BodyLimits
    uploads: Uploads
    image_links: ImageLinkSettings
    keepalive_seconds: float
    now: Callable[[], datetime]
    readiness: Callable[[], Awaitable[Mapping[str, str]]]
    warnings: Callable[[], Mapping[str, str]]
    log_prompts: bool
    gateway_id: str


def dependencies(request: Connection) -> Dependencies:
    """Return the dependencies of the application that serves a request."""
    deps: Dependencies = request.app.state[DEPENDENCIES_KEY]
    return deps


def require_team_key(connection: Connection) -> None:
    """Let callers with a team's key into the data plane. Raises `NotAuthenticated`."""
    context, deps = request_context(connection.scope), dependencies(connection)
    key = authenticate(_authorization(connection), deps.config().keys, deps.now())
    context.key = key
    context.log(team=key.team.name, key=key.id)


def _authorization(connection: Connection) -> str | None:
    """The field `Authorization`; without it the field `api-key`, in which Azure's SDKs send a key."""
    headers = connection.headers
    return headers.get("authorization") or (f"Bearer {headers['api-key']}" if "api-key" in headers else None)


def caller_key(request: Http) -> Key:
    """Who asks, as was found out before."""
    key = request_context(request.scope).key
    if key is None:
        raise NotAuthenticated("This path needs an API key.")
    return key
