"""The composition root: the only module that knows all the others.

Rule: settings go in, a runnable application comes out; nothing is looked up anywhere else. What cannot work stops the
start with `SettingsError`.
"""

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from litestar import Litestar
from litestar.types import ASGIApp

from service.adapters.backends.dialect import Dialect
from service.adapters.backends.http import HttpBackend, HttpSettings
from service.adapters.backends.openai import OpenAIDialect
from service.adapters.backends.sandbox import SandboxBackend, SandboxSettings
from service.adapters.backends.together import TogetherDialect
from service.adapters.darkroom import PillowDarkroom
from service.adapters.exports import formats
from service.adapters.links import GuardedLinks, LinkSettings
from service.adapters.pictures import FolderPictures
from service.adapters.redis.ledger import RedisLedger
from service.adapters.sql.books import SqlBooks
from service.adapters.sql.engine import Database, connect
from service.adapters.sql.keys import SqlKeyStore
from service.adapters.state import State
from service.api.application import build, edged
from service.api.bodies import Limits
from service.api.desk import Desk, Links
from service.api.errors import crashed
from service.domain.routing import SANDBOX
from service.domain.teams import Key, Team, digest_of
from service.settings.files import SettingsError
from service.settings.gateway import GatewaySettings
from service.settings.known import Files
from service.usecases.buy_pictures import BuyPictures
from service.usecases.develop import Develop
from service.usecases.export_usage import ExportUsage
from service.usecases.gather_references import GatherReferences
from service.usecases.hold_money import HoldMoney
from service.usecases.issue_keys import IssueKeys
from service.usecases.keep_books import KeepBooks, Pace
from service.usecases.keep_pictures import KeepPictures
from service.usecases.know_callers import KnowCallers, Known
from service.usecases.make_images import MakeImages
from service.usecases.ports import Backend, Backends, Observer, PictureStore
from service.usecases.read_limits import ReadLimits
from service.usecases.report_usage import ReportUsage

KEY_PREFIX = "igw_"
DIALECTS: Mapping[str, type[Dialect]] = {"openai": OpenAIDialect, "together": TogetherDialect}


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
    """A gateway that a server can run. `backends` are the names of those that are on."""

    asgi: ASGIApp
    litestar: Litestar
    drain: Drain
    backends: tuple[str, ...]
    pictures: Path | None


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
    vendors = {name: _vendor(settings, name) for name in settings.api_keys}
    backends: Backends = {**vendors, **_sandbox(settings)}
    if not backends:
        raise SettingsError(
            "No backend is on: set the environment variable of a vendor's key, or switch the sandbox on.",
        )
    links, state, drain = _links(settings), State(plans.stores.redis_url), Drain()
    accounts = _accounts(plans)
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
        async with background(observe, accounts.keep.run, callers.run):
            yield
        await accounts.keep.close()
        closing: tuple[Closing, ...] = (*vendors.values(), links, state, accounts.ledger, accounts.database)
        for part in closing:
            await part.close()

    make = _make(plans, backends, links, accounts)
    app = build(_desk(plans, make, accounts, callers, problems), observe, running)
    return Gateway(
        asgi=edged(app, observe, mint, time.monotonic),
        litestar=app,
        drain=drain,
        backends=tuple(backends),
        pictures=_folder(plans),
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


def _accounts(plans: Plans) -> Accounts:
    entry, observe = plans.settings.ledger, plans.observe
    ledger = RedisLedger(plans.stores.redis_url, lease_seconds=entry.lease_seconds)
    database = connect(plans.stores.database_url)
    books = SqlBooks(database)
    pace = Pace(write=entry.write_seconds, sweep=entry.sweep_seconds, lease=entry.lease_seconds)
    keep = KeepBooks(ledger=ledger, books=books, observe=observe, owner=mint(), pace=pace)
    hold = HoldMoney(ledger=ledger, books=books, keep=keep, observe=observe)
    return Accounts(
        ledger=ledger, database=database, books=books, key_store=SqlKeyStore(database), keep=keep, hold=hold
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


def _make(plans: Plans, backends: Backends, links: GuardedLinks, accounts: Accounts) -> MakeImages:
    darkroom = PillowDarkroom()
    return MakeImages(
        backends=backends,
        gather=GatherReferences(darkroom=darkroom, links=links),
        buy=BuyPictures(
            backends=backends,
            develop=Develop(darkroom=darkroom),
            hold=accounts.hold,
            observe=plans.observe,
            mint=mint,
            elapsed=time.monotonic,
        ),
        now=now,
    )


def _known(plans: Plans) -> Known:
    """What the files say, as long as nobody's key opens two doors."""
    known = plans.files.read()
    if plans.settings.admin_digest in known.roster.keys:
        raise SettingsError("ADMIN_API_KEY: is the key of a team as well; `openssl rand -hex 32` makes another")
    return known


def _desk(
    plans: Plans,
    make: MakeImages,
    accounts: Accounts,
    callers: KnowCallers,
    problems: Callable[[], Awaitable[Mapping[str, str]]],
) -> Desk:
    settings, folder = plans.settings, _folder(plans)
    store: PictureStore | None = FolderPictures(folder) if folder else None
    return Desk(
        make=make,
        keep=KeepPictures(store=store, mint=mint, observe=plans.observe, keep_all=settings.pictures.keep == "all"),
        live=callers.live,
        store=store,
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


def _vendor(settings: GatewaySettings, name: str) -> HttpBackend:
    vendor = settings.vendors[name]
    return HttpBackend(
        HttpSettings(
            base_url=vendor.base_url,
            api_key=settings.api_keys[name],
            headers=vendor.headers,
            deadline=vendor.deadline_seconds,
            most_calls=vendor.most_calls,
            proxy=vendor.proxy,
            ca_file=vendor.ca_file,
            relays_links=vendor.relay_image_urls,
        ),
        DIALECTS[vendor.dialect](),
    )


def _sandbox(settings: GatewaySettings) -> dict[str, Backend]:
    entry = settings.sandbox
    if not entry.enabled:
        return {}
    try:
        chosen = SandboxSettings(delay_seconds=entry.delay_seconds, fail=entry.fail, obey_prompt=entry.obey_prompt)
        return {SANDBOX: SandboxBackend(chosen)}
    except ValueError as wrong:
        raise SettingsError(f"gateway.yaml: $.sandbox.fail: {wrong}") from None


def _links(settings: GatewaySettings) -> GuardedLinks:
    entry = settings.links
    try:
        return GuardedLinks(
            LinkSettings(
                most_bytes=settings.requests.most_picture_bytes,
                seconds=entry.seconds,
                allow_networks=entry.allow_networks,
                allow_ports=entry.allow_ports,
                ca_file=entry.ca_file,
            ),
        )
    except (ValueError, OSError) as wrong:
        raise SettingsError(f"gateway.yaml: $.links: {wrong}") from None


def _folder(plans: Plans) -> Path | None:
    """Where pictures are kept: what STORAGE_URL says, else in the data folder, else nowhere."""
    settings, data = plans.settings, plans.stores.data
    if settings.storage_url is None:
        return data.resolve() / "pictures" if data else None
    address = urlsplit(settings.storage_url)
    if address.scheme not in {"", "file"}:
        raise SettingsError(f"STORAGE_URL: '{address.scheme}' is not offered yet; give a folder.")
    return Path(unquote(address.path))


def signing_key(settings: GatewaySettings, data: Path | None) -> bytes:
    """The key that picture links are signed with: given, or made once and kept in the data folder."""
    if settings.signing_key:
        return settings.signing_key
    if data is None:
        if settings.storage_url:
            raise SettingsError("URL_SIGNING_KEY: needed with STORAGE_URL, so that replicas trust each other's links")
        return secrets.token_bytes(32)
    return kept_secret(data / "signing-key").encode()


def kept_secret(file: Path, prefix: str = "") -> str:
    """A secret that is made at the first start and read at the next; only its owner may read it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return file.read_text("utf-8").strip()
    with os.fdopen(descriptor, "w") as new:
        new.write(secret := prefix + secrets.token_urlsafe(32))
    return secret


def dev_key(secret: str) -> Key:
    """The one key of `serve --dev`."""
    return Key(id="dev", team=Team(name="dev"), digest=digest_of(secret))
