"""The composition root: the only module that knows all the others.

Rule: settings go in, a runnable application comes out; nothing is looked up anywhere else. What cannot work stops the
start with `SettingsError`.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from litestar import Litestar
from litestar.types import ASGIApp

from service.adapters.darkroom import PillowDarkroom
from service.adapters.exports import formats
from service.adapters.links import GuardedLinks
from service.adapters.pictures import FolderPictures, bucket_pictures
from service.adapters.redis.flights import RedisFlights
from service.adapters.redis.ledger import RedisLedger
from service.adapters.redis.results import RedisResults
from service.adapters.sql.books import SqlBooks
from service.adapters.sql.engine import Database, connect
from service.adapters.sql.keys import SqlKeyStore
from service.adapters.state import State
from service.api.application import build, edged
from service.api.bodies import Limits
from service.api.desk import Desk, Links
from service.api.errors import crashed
from service.domain.teams import Key, Team, digest_of
from service.settings.files import SettingsError
from service.settings.gateway import GatewaySettings
from service.settings.known import Files
from service.settings.secrets import signing_key
from service.settings.storage import Bucket, Folder, Storage
from service.sources import links_of, sandbox, vendor
from service.usecases.buy_once import BuyOnce, Policy
from service.usecases.buy_pictures import BuyPictures
from service.usecases.develop import Develop
from service.usecases.export_usage import ExportUsage
from service.usecases.forget_pictures import ForgetPictures
from service.usecases.gather_references import GatherReferences
from service.usecases.hold_money import HoldMoney
from service.usecases.issue_keys import IssueKeys
from service.usecases.keep_books import KeepBooks, Pace
from service.usecases.keep_files import KeepFiles
from service.usecases.keep_pictures import KeepPictures
from service.usecases.know_callers import KnowCallers, Known
from service.usecases.make_images import MakeImages
from service.usecases.ports import Backends, Observer, PictureStore
from service.usecases.read_limits import ReadLimits
from service.usecases.read_pictures import ReadPictures
from service.usecases.recall_pictures import RecallPictures
from service.usecases.report_usage import ReportUsage

KEY_PREFIX = "igw_"


class Closing(Protocol):
    """A part with connections."""

    async def close(self) -> None:
        """Close them."""
        ...


@dataclass(slots=True)
class Drain:
    """Whether this replica is on its way out."""

    begun: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A gateway that a server can run. `backends` are the names of those that are on, `pictures` is where they go."""

    asgi: ASGIApp
    litestar: Litestar
    drain: Drain
    backends: tuple[str, ...]
    pictures: Storage | None


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


def mint() -> str:
    """32 random hex digits."""
    return secrets.token_hex(16)


def new_secret() -> str:
    """The text of a new key."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """Where everything that lasts is. `data` is the folder for what has no address of its own, if there is one."""

    redis_url: str
    cache_url: str
    database_url: str
    data: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plans:
    """All that a gateway is made from."""

    settings: GatewaySettings
    files: Files
    stores: Stores
    observe: Observer


def assemble(plans: Plans) -> Gateway:
    """Put a gateway together. Connects to nothing yet."""
    settings, observe = plans.settings, plans.observe
    vendors = {name: vendor(settings, name) for name in settings.api_keys}
    backends: Backends = {**vendors, **sandbox(settings)}
    if not backends:
        raise SettingsError(
            "No backend is on: set the environment variable of a vendor's key, or switch the sandbox on.",
        )
    links, state, drain = links_of(settings), State(plans.stores.redis_url), Drain()
    accounts, album = _accounts(plans), _album(plans)
    callers = KnowCallers(
        known=_known(plans),
        read=plans.files.again,
        stamp=plans.files.stamp,
        key_store=accounts.key_store,
        observe=observe,
    )

    async def problems() -> Mapping[str, str]:
        if drain.begun:
            return {"gateway": "is shutting down"}
        problem = await state.problem()
        return {"redis": problem} if problem else {}

    @asynccontextmanager
    async def running(_: Litestar) -> AsyncIterator[None]:
        await callers.refresh()
        async with background(observe, accounts.keep.run, callers.run, *album.stories(plans)):
            yield
        await accounts.keep.close()
        closing: tuple[Closing, ...] = (*vendors.values(), links, state, *accounts.parts())
        for part in closing:
            await part.close()

    parts = Parts(accounts=accounts, album=album, callers=callers)
    make = _make(plans, backends, links, parts)
    app = build(_desk(plans, parts, make, problems), observe, running)
    return Gateway(
        asgi=edged(app, observe, mint, time.monotonic),
        litestar=app,
        drain=drain,
        backends=tuple(backends),
        pictures=_storage(plans),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """Everything about money."""

    ledger: RedisLedger
    database: Database
    books: SqlBooks
    key_store: SqlKeyStore
    keep: KeepBooks
    hold: HoldMoney
    flights: RedisFlights
    results: RedisResults

    def parts(self) -> tuple[Closing, ...]:
        """What has connections."""
        return self.ledger, self.flights, self.results, self.database


def _accounts(plans: Plans) -> Accounts:
    entry, observe = plans.settings.ledger, plans.observe
    ledger = RedisLedger(plans.stores.redis_url, lease_seconds=entry.lease_seconds)
    database = connect(plans.stores.database_url)
    books = SqlBooks(database)
    pace = Pace(write=entry.write_seconds, sweep=entry.sweep_seconds, lease=entry.lease_seconds)
    keep = KeepBooks(ledger=ledger, books=books, observe=observe, owner=mint(), pace=pace)
    hold = HoldMoney(ledger=ledger, books=books, keep=keep, observe=observe)
    return Accounts(
        ledger=ledger,
        database=database,
        books=books,
        key_store=SqlKeyStore(database),
        keep=keep,
        hold=hold,
        flights=RedisFlights(plans.stores.redis_url, lease_seconds=entry.lease_seconds),
        results=RedisResults(plans.stores.cache_url, most_bytes=plans.settings.cache.most_bytes),
    )


@asynccontextmanager
async def background(observe: Observer, *stories: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Stories that go on for the length of a block. One that crashes is told and begins again."""
    tasks = [asyncio.create_task(_ever(observe, story)) for story in stories]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _ever(observe: Observer, story: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await story()
        except Exception as error:  # noqa: BLE001 (whatever it is, what runs behind the requests must go on)
            observe(crashed("background", error))
            await asyncio.sleep(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Album:
    """Everything about kept pictures."""

    store: PictureStore | None
    darkroom: PillowDarkroom
    pictures: ReadPictures

    def stories(self, plans: Plans) -> tuple[Callable[[], Awaitable[None]], ...]:
        """What goes on behind the requests."""
        if self.store is None:
            return ()
        entry = plans.settings.pictures
        forget = ForgetPictures(
            store=self.store,
            observe=plans.observe,
            now=now,
            keep_seconds=entry.keep_seconds,
            sweep_seconds=entry.sweep_seconds,
        )
        return (forget.run,)


def _album(plans: Plans) -> Album:
    store = _store(_storage(plans))
    pictures = ReadPictures(store=store, keep_seconds=plans.settings.pictures.keep_seconds, now=now)
    return Album(store=store, darkroom=PillowDarkroom(), pictures=pictures)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the use cases share."""

    accounts: Accounts
    album: Album
    callers: KnowCallers


def _make(plans: Plans, backends: Backends, links: GuardedLinks, parts: Parts) -> MakeImages:
    darkroom, most = parts.album.darkroom, plans.settings.requests.most_picture_bytes
    cache = plans.settings.cache
    return MakeImages(
        backends=backends,
        gather=GatherReferences(
            darkroom=darkroom, links=links, kept=RecallPictures(pictures=parts.album.pictures, most_bytes=most)
        ),
        buy=BuyPictures(
            backends=backends,
            develop=Develop(darkroom=darkroom),
            hold=parts.accounts.hold,
            observe=plans.observe,
            mint=mint,
            elapsed=time.monotonic,
        ),
        once=BuyOnce(
            results=parts.accounts.results,
            flights=parts.accounts.flights,
            hold=parts.accounts.hold,
            policy=Policy(seconds=cache.seconds, shared=cache.shared),
            mint=mint,
            now=now,
            lease=plans.settings.ledger.lease_seconds,
        ),
        now=now,
    )


def _known(plans: Plans) -> Known:
    """What the files say, as long as nobody's key opens two doors."""
    known = plans.files.read()
    if plans.settings.admin_digest in known.roster.keys:
        raise SettingsError("ADMIN_API_KEY: is the key of a team as well; `openssl rand -hex 32` makes another")
    return known


def _desk(plans: Plans, parts: Parts, make: MakeImages, problems: Callable[[], Awaitable[Mapping[str, str]]]) -> Desk:
    settings, accounts, album, callers = plans.settings, parts.accounts, parts.album, parts.callers
    return Desk(
        make=make,
        keep=KeepPictures(
            store=album.store, mint=mint, observe=plans.observe, keep_all=settings.pictures.keep == "all"
        ),
        live=callers.live,
        pictures=album.pictures,
        files=KeepFiles(pictures=album.pictures, darkroom=album.darkroom, mint=mint),
        ledger=accounts.ledger,
        books=accounts.books,
        key_store=accounts.key_store,
        issue=IssueKeys(
            store=accounts.key_store, teams=lambda: callers.live().teams, now=now, secret=new_secret, mint=mint
        ),
        report=ReportUsage(books=accounts.books),
        export=ExportUsage(books=accounts.books, formats=formats()),
        standings=ReadLimits(ledger=accounts.ledger, rebuild=accounts.hold.rebuild),
        admin=settings.admin_digest,
        tags=settings.tags,
        limits=_limits(settings),
        links=Links(
            key=signing_key(settings, plans.stores.data),
            seconds=settings.pictures.link_seconds,
            public_url=settings.pictures.public_url,
        ),
        now=now,
        ready=problems,
        log_prompts=settings.logs.prompts,
    )


def _limits(settings: GatewaySettings) -> Limits:
    entry = settings.requests
    return Limits(
        most_json_bytes=entry.most_json_bytes,
        most_form_bytes=entry.most_form_bytes,
        most_picture_bytes=entry.most_picture_bytes,
        idle_seconds=entry.idle_seconds,
    )


def _storage(plans: Plans) -> Storage | None:
    """Where pictures are kept: what STORAGE_URL says, else in the data folder, else nowhere."""
    data = plans.stores.data
    return plans.settings.storage or (Folder(data.resolve() / "pictures") if data else None)


def _store(storage: Storage | None) -> PictureStore | None:
    if isinstance(storage, Bucket):
        return bucket_pictures(storage.name, storage.prefix, storage.endpoint)
    try:
        return FolderPictures(storage.path) if storage else None
    except OSError as unusable:
        raise SettingsError(f"STORAGE_URL: the folder for pictures cannot be made: {unusable.strerror}") from None


def dev_key(secret: str) -> Key:
    """The one key of `serve --dev`."""
    return Key(id="dev", team=Team(name="dev"), digest=digest_of(secret))
