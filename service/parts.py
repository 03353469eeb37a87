"""What the composition is made of: where everything lasting is, and the parts about money and about pictures.

Rule: made from `Plans`, connected to nothing yet. What cannot work stops the start with `SettingsError`.
"""

import asyncio
import os
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Protocol

from msgspec import structs
from sqlalchemy import NullPool

from service.adapters.changing import Changing
from service.adapters.darkroom import PillowDarkroom
from service.adapters.embedded import place_of
from service.adapters.redis.crowd import Crowd
from service.adapters.redis.flights import RedisFlights
from service.adapters.redis.ledger import RedisLedger
from service.adapters.redis.results import RedisResults
from service.adapters.redis.turnstile import RedisTurnstile
from service.adapters.sql.books import SqlBooks
from service.adapters.sql.engine import Database, connect
from service.adapters.sql.files import SqlFileIndex
from service.adapters.sql.keys import SqlKeyStore
from service.adapters.sql.lease import SqlLeases
from service.adapters.sql.replicas import SqlReplicas
from service.api.scrape import Tell
from service.domain.health import Rules
from service.domain.teams import KEY_PREFIX
from service.settings.admin import TEAMS
from service.settings.files import SettingsError
from service.settings.gateway import GatewaySettings
from service.settings.known import Files, Reading
from service.settings.secrets import signing_secret
from service.settings.sections import Vendor
from service.settings.storage import Bucket, Folder, Storage
from service.usecases.ask_after import AskAfter, Probed
from service.usecases.background import Fatal, Forever
from service.usecases.events import PoolerFound
from service.usecases.forget_pictures import ForgetPictures
from service.usecases.hold_money import HoldMoney
from service.usecases.keep_books import KeepBooks, Pace
from service.usecases.keep_lease import Holder, KeepLease
from service.usecases.keep_pictures import KeepPictures
from service.usecases.know_callers import KnowCallers
from service.usecases.list_files import ListFiles
from service.usecases.ports import Observer, PictureStore
from service.usecases.read_pictures import ReadPictures
from service.usecases.recounts import Recounts
from service.usecases.renew_secrets import RenewSecrets, nothing
from service.usecases.sign_links import SignLinks
from service.usecases.take_turns import Account, TakeTurns
from service.usecases.turnstile import Caps

VALKEY = "valkey"
"""The folder of the embedded Valkey of money, in the data folder."""
CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
LOST_SECONDS = 30.0  # beyond its deadline, until a call is taken for lost


class Closing(Protocol):
    """A part with connections."""

    async def close(self) -> None:
        """Close them."""
        ...


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


def running() -> float:
    """Seconds that go on while the machine sleeps, where it can tell."""
    return time.clock_gettime(CLOCK)


def mint() -> str:
    """32 random hex digits."""
    return secrets.token_hex(16)


def new_secret() -> str:
    """The text of a new key."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """Where everything that lasts is. `data` is the folder for what has no address of its own, if there is one."""

    redis_url: Changing
    cache_url: Changing
    database_url: Changing
    data: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The lease on the ledger, held by this replica for so long by the clock `running`."""

    holder: Holder
    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plans:
    """All that a gateway is made from. `first` is what the files said at the start, because reading takes a while.

    `tell` tells metrics, where they are on the gateway's own port.
    `admin_port` is the one on which admin is alone, as it was bound; None is on the gateway's.
    `fatal` is told what the process cannot go on without. Without a `lease` nobody else can have the ledger.
    `gateway_id` is that of all replicas; without one no loop is found.
    """

    settings: GatewaySettings
    files: Files
    first: Reading
    stores: Stores
    observe: Observer
    tell: Tell | None = None
    admin_port: int | None = None
    fatal: Fatal = field(default_factory=Fatal)
    lease: Lease | None = None
    gateway_id: str = ""


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
    lease: KeepLease | None

    def background(self) -> Mapping[str, Forever]:
        """What goes on behind the requests."""
        lease: Mapping[str, Forever] = {"keep the lease": self.lease.run} if self.lease else {}
        return {"settle holds": self.keep.run, "report to recounts": self.hold.recounts.run, **lease}

    def last(self) -> tuple[Closing, ...]:
        """What has something to say to the stores before it goes: entries to the books first, then its name."""
        return (self.keep, self.hold.recounts, *((self.lease,) if self.lease else ()))

    def parts(self) -> tuple[Closing, ...]:
        """What has connections."""
        return self.ledger, self.flights, self.results, self.database


def accounts_of(plans: Plans, crowd: Crowd, leaving: Callable[[], bool]) -> Accounts:
    """The parts about money. `leaving`: is this replica on its way out?"""
    entry, observe = plans.settings.ledger, plans.observe
    patience = plans.settings.state.answer_seconds
    ledger = RedisLedger(
        plans.stores.redis_url, lease_seconds=entry.lease_seconds, patience_seconds=patience, crowd=crowd
    )
    database = connect(plans.stores.database_url, lambda: observe(PoolerFound(database=database.shown)))
    books = SqlBooks(database)
    pace = Pace(write=entry.write_seconds, sweep=entry.sweep_seconds, lease=entry.lease_seconds)
    keep = KeepBooks(ledger=ledger, books=books, observe=observe, owner=mint(), pace=pace)
    lease = _lease(plans, database, leaving)
    check = lease.check if lease else _unchecked
    recounts = Recounts(
        replicas=SqlReplicas(database) if plans.stores.data is None else None,  # a store of its own has one replica
        keep=keep,
        name=keep.owner,
        elapsed=time.monotonic,
        sleep=asyncio.sleep,
    )
    hold = HoldMoney(ledger=ledger, books=books, keep=keep, observe=observe, recounts=recounts, check=check)
    return Accounts(
        ledger=ledger,
        database=database,
        books=books,
        key_store=SqlKeyStore(database),
        keep=keep,
        lease=lease,
        hold=hold,
        flights=RedisFlights(
            plans.stores.redis_url,
            lease_seconds=entry.lease_seconds,
            patience_seconds=patience,
            lost_are_led=plans.settings.purchases.in_doubt == "buy",
            crowd=crowd,
        ),
        results=RedisResults(
            plans.stores.cache_url,
            most_bytes=plans.settings.cache.most_bytes,
            patience_seconds=patience,
            observe=observe,
            crowd=crowd,
        ),
    )


def _unchecked() -> None:
    """Nobody else can have the ledger."""


def _lease(plans: Plans, database: Database, leaving: Callable[[], bool]) -> KeepLease | None:
    if plans.lease is None:
        return None
    lease = _lease_of(plans.lease.holder, database, plans.observe, leaving, plans.fatal)
    lease.until = plans.lease.until
    return lease


def _lease_of(
    holder: Holder, database: Database, observe: Observer, leaving: Callable[[], bool], fatal: Fatal
) -> KeepLease:
    return KeepLease(
        leases=SqlLeases(database),
        holder=holder,
        ledger=database.shown,
        observe=observe,
        elapsed=running,
        sleep=asyncio.sleep,
        leaving=leaving,
        fatal=fatal,
    )


async def take_lease(stores: Stores, observe: Observer) -> Lease:
    """Wait for the lease on the ledger before anything is counted. Raises `LeaseHeld`, or `BooksUnavailable`."""
    token, name = mint(), f"{socket.gethostname()}, process {os.getpid()}"
    place = token if stores.data is None else place_of(stores.data / VALKEY)
    holder = Holder(place=place, token=token, name=name, shared=stores.data is None)
    database = Database(stores.database_url, pool=NullPool)
    lease = _lease_of(holder, database, observe, lambda: False, Fatal())
    try:
        await lease.acquire()
    finally:
        await database.close()
    return Lease(holder=holder, until=lease.until)


@dataclass(frozen=True, slots=True, kw_only=True)
class Album:
    """Everything about kept pictures."""

    store: PictureStore | None
    darkroom: PillowDarkroom
    pictures: ReadPictures
    files: ListFiles
    keep: KeepPictures

    def background(self, plans: Plans) -> Mapping[str, Forever]:
        """What goes on behind the requests."""
        if self.store is None:
            return {}
        entry = plans.settings.pictures
        forget = ForgetPictures(
            store=self.store,
            files=self.files,
            observe=plans.observe,
            now=now,
            keep_seconds=entry.keep_seconds,
            sweep_seconds=entry.sweep_seconds,
        )
        return {"forget pictures": forget.run}


def album_of(plans: Plans, database: Database) -> Album:
    """The parts about pictures. The database has the list of files."""
    store, entry = _store(storage_of(plans)), plans.settings.pictures
    pictures = ReadPictures(store=store, keep_seconds=entry.keep_seconds, now=now)
    return Album(
        store=store,
        darkroom=PillowDarkroom(),
        pictures=pictures,
        files=ListFiles(index=SqlFileIndex(database), pictures=pictures, observe=plans.observe, now=now),
        keep=KeepPictures(
            store=store,
            mint=mint,
            observe=plans.observe,
            keep_all=entry.keep == "all",
            fresh_seconds=entry.keep_seconds - entry.link_seconds,
        ),
    )


def turnstile_of(plans: Plans, crowd: Crowd) -> RedisTurnstile:
    """What replicas share about backends."""
    return RedisTurnstile(plans.stores.redis_url, patience_seconds=plans.settings.state.answer_seconds, crowd=crowd)


def turns_of(plans: Plans, turnstile: RedisTurnstile) -> TakeTurns:
    """Whose turn it is at the vendors that are on. The sandbox has no account."""
    vendors, rules = plans.settings.vendors, structs.asdict(plans.settings.health)
    del rules["probe"]
    return TakeTurns(
        turnstile=turnstile,
        accounts={name: _account(vendors[name]) for name in plans.settings.api_keys},
        rules=Rules(**rules),
        observe=plans.observe,
        mint=mint,
        elapsed=time.monotonic,
    )


def signs_of(plans: Plans) -> SignLinks:
    """Who signs links to pictures."""
    keys = signing_secret(plans.settings, plans.stores.data)
    return SignLinks(keys=keys, seconds=plans.settings.pictures.link_seconds, now=now)


def renewing_of(plans: Plans, callers: KnowCallers, turns: TakeTurns, signs: SignLinks) -> RenewSecrets:
    """What looks at the files of secrets, and who has to know of which."""
    settings = plans.settings
    vendors = [(key, partial(turns.rekeyed, name)) for name, key in settings.api_keys.items()]
    stores = [(address, nothing) for address in settings.stores]
    signing = [(settings.signing_keys, signs.renew)] if settings.signing_keys else []
    admin = [(settings.admin_digest, nothing)] if settings.admin_digest else []
    for key, _ in admin:
        key.refuse_if(lambda digests: TEAMS if digests & callers.live().keys.keys() else None)
    return RenewSecrets(secrets=(*vendors, *stores, *signing, *admin), observe=plans.observe)


def asking_after(plans: Plans, turns: TakeTurns, vendors: Mapping[str, Probed]) -> Mapping[str, Forever]:
    """What goes on behind the requests where vendors that are set aside are asked for something free."""
    entry = plans.settings.health
    probe = AskAfter(turns=turns, backends=vendors, seconds=entry.open_seconds)
    return {"probe backends": probe.run} if entry.probe else {}


def _account(vendor: Vendor) -> Account:
    caps = Caps(**structs.asdict(vendor.account))
    return Account(caps=caps, lease=vendor.deadline_seconds + LOST_SECONDS)


def storage_of(plans: Plans) -> Storage | None:
    """Where pictures are kept: what STORAGE_URL says, else in the data folder, else nowhere."""
    data = plans.stores.data
    return plans.settings.storage or (Folder(data.resolve() / "pictures") if data else None)


def _store(storage: Storage | None) -> PictureStore | None:
    if storage is None:
        return None
    from service.adapters.pictures import FolderPictures, bucket_pictures  # noqa: PLC0415 (6 MB)

    try:
        if isinstance(storage, Bucket):
            return bucket_pictures(storage.name, storage.prefix, storage.endpoint)
        return FolderPictures(storage.path)
    except OSError as unusable:
        raise SettingsError(f"STORAGE_URL: the folder for pictures cannot be made: {unusable.strerror}") from None
    except ValueError as wrong:
        raise SettingsError(f"STORAGE_URL: cannot be used: {wrong}") from None
