"""Builds the parts about money: quotas, holds, the ledger, its lease, flights and results.

Rule: made from `AppConfig`, connected to nothing yet. What cannot work stops the start with `SettingsError`.
"""

import asyncio
import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlalchemy import NullPool

from service.adapters.embedded.valkey import folder_identity
from service.adapters.redis.connection_queue import ConnectionQueue
from service.adapters.redis.flights import RedisFlights
from service.adapters.redis.quota_store import RedisQuotaStore
from service.adapters.redis.result_store import RedisResultStore
from service.adapters.sql.database import Database, open_database
from service.adapters.sql.key_store import SqlKeyStore
from service.adapters.sql.leases import SqlLeases
from service.adapters.sql.ledger import SqlLedger
from service.adapters.sql.replica_registry import SqlReplicaRegistry
from service.composition.app_config import (
    AppConfig,
    Closeable,
    HeldLease,
    StoreAddresses,
    new_id,
    suspend_aware_monotonic,
)
from service.usecases.background.supervisor import FatalReport, TaskFunction
from service.usecases.money.hold_quota import HoldQuota
from service.usecases.money.ledger_lease import LedgerLease
from service.usecases.money.recount_reports import RecountReports
from service.usecases.money.settlement import Intervals, Settlement
from service.usecases.ports.events import PoolerDetected
from service.usecases.ports.leases import LeaseHolder
from service.usecases.ports.observer import Observer

VALKEY_FOLDER = "valkey"
"""The folder of the embedded Valkey of money, in the data folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MoneyParts:
    """Everything about money."""

    ledger: RedisQuotaStore
    database: Database
    books: SqlLedger
    key_store: SqlKeyStore
    keep: Settlement
    hold: HoldQuota
    flights: RedisFlights
    results: RedisResultStore
    lease: LedgerLease | None

    def background(self) -> Mapping[str, TaskFunction]:
        """What goes on behind the requests."""
        lease: Mapping[str, TaskFunction] = {"keep the lease": self.lease.run} if self.lease else {}
        return {"settle holds": self.keep.run, "report to recounts": self.hold.recounts.run, **lease}

    def last(self) -> tuple[Closeable, ...]:
        """What has something to say to the stores before it goes: entries to the books first, then its name."""
        return (self.keep, self.hold.recounts, *((self.lease,) if self.lease else ()))

    def parts(self) -> tuple[Closeable, ...]:
        """What has connections."""
        return self.ledger, self.flights, self.results, self.database


def build_money(plans: AppConfig, crowd: ConnectionQueue, leaving: Callable[[], bool]) -> MoneyParts:
    """The parts about money. `leaving`: is this replica on its way out?"""
    entry, observe = plans.settings.ledger, plans.observe
    patience = plans.settings.state.answer_seconds
    ledger = RedisQuotaStore(
        plans.stores.redis_url, lease_seconds=entry.lease_seconds, patience_seconds=patience, crowd=crowd
    )
    database = open_database(plans.stores.database_url, lambda: observe(PoolerDetected(database=database.shown)))
    books = SqlLedger(database)
    pace = Intervals(write=entry.write_seconds, sweep=entry.sweep_seconds, lease=entry.lease_seconds)
    keep = Settlement(ledger=ledger, books=books, observe=observe, owner=new_id(), pace=pace)
    lease = _resume_lease(plans, database, leaving)
    check = lease.check if lease else _no_lease_check
    recounts = RecountReports(
        replicas=SqlReplicaRegistry(database)
        if plans.stores.data is None
        else None,  # a store of its own has one replica
        keep=keep,
        name=keep.owner,
        elapsed=time.monotonic,
        sleep=asyncio.sleep,
    )
    hold = HoldQuota(ledger=ledger, books=books, keep=keep, observe=observe, recounts=recounts, check=check)
    return MoneyParts(
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
        results=RedisResultStore(
            plans.stores.cache_url,
            most_bytes=plans.settings.cache.most_bytes,
            patience_seconds=patience,
            observe=observe,
            crowd=crowd,
        ),
    )


def _no_lease_check() -> None:
    """Nobody else can have the ledger."""


def _resume_lease(plans: AppConfig, database: Database, leaving: Callable[[], bool]) -> LedgerLease | None:
    if plans.lease is None:
        return None
    lease = _build_lease(plans.lease.holder, database, plans.observe, leaving, plans.fatal)
    lease.until = plans.lease.until
    return lease


def _build_lease(
    holder: LeaseHolder, database: Database, observe: Observer, leaving: Callable[[], bool], fatal: FatalReport
) -> LedgerLease:
    return LedgerLease(
        leases=SqlLeases(database),
        holder=holder,
        ledger=database.shown,
        observe=observe,
        elapsed=suspend_aware_monotonic,
        sleep=asyncio.sleep,
        leaving=leaving,
        fatal=fatal,
    )


async def take_lease(stores: StoreAddresses, observe: Observer) -> HeldLease:
    """Wait for the lease on the ledger before anything is counted. Raises `LeaseHeld`, or `LedgerUnavailable`."""
    token, name = new_id(), f"{socket.gethostname()}, process {os.getpid()}"
    place = token if stores.data is None else folder_identity(stores.data / VALKEY_FOLDER)
    holder = LeaseHolder(place=place, token=token, name=name, shared=stores.data is None)
    database = Database(stores.database_url, pool=NullPool)
    lease = _build_lease(holder, database, observe, lambda: False, FatalReport())
    try:
        await lease.acquire()
    finally:
        await database.close()
    return HeldLease(holder=holder, until=lease.until)
