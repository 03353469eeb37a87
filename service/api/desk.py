"""What the handlers are given: use cases and values, put together by `app.py`.

Rule: handlers take everything from the desk and nothing from modules. `live` gives the part that a reload replaces, as
a whole, so that a request sees one version of it.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from service.api.bodies import Limits
from service.api.edge import Connection, Http, line_of
from service.domain.errors import NotAuthenticated
from service.domain.teams import Key, authenticate
from service.domain.terms import InFlightRules
from service.usecases.accounts import Books, KeyStore, Ledger
from service.usecases.export_usage import ExportUsage
from service.usecases.generate.make_images import MakeImages
from service.usecases.issue_keys import IssueKeys
from service.usecases.keep_files import KeepFiles
from service.usecases.keep_pictures import KeepPictures
from service.usecases.know_callers import Live
from service.usecases.read_limits import ReadLimits
from service.usecases.read_pictures import ReadPictures
from service.usecases.report_usage import ReportUsage
from service.usecases.sign_links import SignLinks
from service.usecases.tend_results import PurgeResults
from service.usecases.watch import BackendStanding


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """How pictures are handed out by address: who signs, and how many seconds a link is good."""

    signs: SignLinks
    seconds: int
    public_url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Everything that handlers need. `now` gives an aware UTC time, `ready` one line for each part that is not well.

    `warnings` has one line for each part that is well, but needs an operator. `admin` says the digest of the admin key,
    if there is one. `gateway_id` is what all replicas put into the header of `domain/hops.py`.
    """

    make: MakeImages
    keep: KeepPictures
    live: Callable[[], Live]
    pictures: ReadPictures
    files: KeepFiles
    ledger: Ledger
    books: Books
    key_store: KeyStore
    issue: IssueKeys
    report: ReportUsage
    export: ExportUsage
    standings: ReadLimits
    backends: Callable[[], Sequence[BackendStanding]]
    purge: PurgeResults
    admin: Callable[[], str] | None
    tags: frozenset[str]
    in_flight: InFlightRules
    limits: Limits
    links: Links
    keepalive_seconds: float
    now: Callable[[], datetime]
    ready: Callable[[], Awaitable[Mapping[str, str]]]
    warnings: Callable[[], Mapping[str, str]]
    log_prompts: bool
    gateway_id: str


def desk_of(request: Connection) -> Desk:
    """The desk of the application that serves a request."""
    desk: Desk = request.app.state.desk
    return desk


def needs_key(connection: Connection) -> None:
    """Let callers with a team's key into the data plane. Raises `NotAuthenticated`."""
    line, desk = line_of(connection.scope), desk_of(connection)
    key = authenticate(_authorization(connection), desk.live().keys, desk.now())
    line.key = key
    line.note(team=key.team.name, key=key.id)


def _authorization(connection: Connection) -> str | None:
    """The field `Authorization`; without it the field `api-key`, in which Azure's SDKs send a key."""
    headers = connection.headers
    return headers.get("authorization") or (f"Bearer {headers['api-key']}" if "api-key" in headers else None)


def key_of(request: Http) -> Key:
    """Who asks, as was found out before."""
    key = line_of(request.scope).key
    if key is None:
        raise NotAuthenticated("This path needs an API key.")
    return key
