"""Money parts: quotas, holds, the ledger, its lease, flights and results.

Rule: all of them are built from `AppConfig`, and only `take_lease` connects to a store.

Fails with: `LeaseHeld` or `LedgerUnavailable`, both from `take_lease`.
"""

import asyncio
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import NullPool

from service.adapters.embedded_valkey import folder_identity
from service.adapters.redis.connection_pool import ConnectionQueue
from service.adapters.redis.flights import RedisFlights
from service.adapters.redis.quota_store import RedisQuotaStore
from service.adapters.redis.result_store import RedisResultStore
from service.adapters.sql.database import Database
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
from service.composition.stores import Drain
from service.usecases.background.supervisor import FatalReport, TaskFunction
from service.usecases.money.hold_quota import HoldQuota
from service.usecases.money.ledger_lease import LedgerLease
from service.usecases.money.recount_reports import RecountReports
from service.usecases.money.settlement import Intervals, Settlement
from service.usecases.ports.leases import LeaseHolder
from service.usecases.ports.observer import Observer

VALKEY_FOLDER = "valkey"
"""Folder of the embedded Valkey with quotas and holds, inside the data folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MoneyParts:
    """Parts that hold, book and report money. `lease` is None if no other process can open the ledger."""

    quotas: RedisQuotaStore
    database: Database
    ledger: SqlLedger
    key_store: SqlKeyStore
    settlement: Settlement
    hold_quota: HoldQuota
    flights: RedisFlights
    results: RedisResultStore
    lease: LedgerLease | None

    def background_tasks(self) -> Mapping[str, TaskFunction]:
        """Return the tasks that settle holds, report to recounts and renew the lease."""
        lease: Mapping[str, TaskFunction] = {"renew ledger lease": self.lease.run} if self.lease else {}
        return {"settle holds": self.settlement.run, "report to recounts": self.hold_quota.recount_reports.run, **lease}

    def close_first(self) -> tuple[Closeable, ...]:
        """Return the parts that write as they close: entries first, then the replica's name, then the lease."""
        return (self.settlement, self.hold_quota.recount_reports, *((self.lease,) if self.lease else ()))

    def connections(self) -> tuple[Closeable, ...]:
        """Return the clients of Redis and of the database."""
        return self.quotas, self.flights, self.results, self.database


def build_money(config: AppConfig, queue: ConnectionQueue, drain: Drain) -> MoneyParts:
    """Build the money parts."""
    entry, observer = config.settings.ledger, config.observer
    timeout_seconds = config.settings.redis.timeout_seconds
    quotas = RedisQuotaStore(
        config.stores.redis_url, lease_seconds=entry.lease_seconds, timeout_seconds=timeout_seconds, queue=queue
    )
    database = Database(config.stores.database_url, observer=observer)
    ledger = SqlLedger(database)
    intervals = Intervals(
        write_seconds=entry.write_seconds, sweep_seconds=entry.sweep_seconds, lease_seconds=entry.lease_seconds
    )
    settlement = Settlement(quotas=quotas, ledger=ledger, observer=observer, owner=new_id(), intervals=intervals)
    lease = _resume_lease(config, database, drain)
    recount_reports = RecountReports(
        # An embedded store has one replica, which needs no registry.
        registry=SqlReplicaRegistry(database) if config.stores.data is None else None,
        settlement=settlement,
        name=settlement.owner,
        monotonic=time.monotonic,
        sleep=asyncio.sleep,
    )
    hold_quota = HoldQuota(
        quotas=quotas,
        ledger=ledger,
        settlement=settlement,
        observer=observer,
        recount_reports=recount_reports,
        lease=lease,
    )
    return MoneyParts(
        quotas=quotas,
        database=database,
        ledger=ledger,
        key_store=SqlKeyStore(database),
        settlement=settlement,
        lease=lease,
        hold_quota=hold_quota,
        flights=RedisFlights(
            config.stores.redis_url,
            lease_seconds=entry.lease_seconds,
            timeout_seconds=timeout_seconds,
            repeat_lost=config.settings.idempotency.after_crash == "repeat",
            queue=queue,
        ),
        results=RedisResultStore(
            config.stores.cache_url,
            max_bytes=config.settings.cache.max_bytes,
            timeout_seconds=timeout_seconds,
            observer=observer,
            queue=queue,
        ),
    )


def _resume_lease(config: AppConfig, database: Database, drain: Drain) -> LedgerLease | None:
    if config.lease is None:
        return None
    lease = _build_lease(config.lease.holder, database, config.observer, drain, config.fatal)
    lease.valid_until = config.lease.valid_until
    return lease


def _build_lease(
    holder: LeaseHolder, database: Database, observer: Observer, drain: Drain, fatal: FatalReport
) -> LedgerLease:
    return LedgerLease(
        leases=SqlLeases(database),
        holder=holder,
        ledger_name=database.description,
        observer=observer,
        monotonic=suspend_aware_monotonic,
        sleep=asyncio.sleep,
        drain=drain,
        fatal=fatal,
    )


async def take_lease(stores: StoreAddresses, observer: Observer) -> HeldLease:
    """Wait for the lease on the ledger, before any hold is counted. Raises `LeaseHeld` or `LedgerUnavailable`."""
    token, name = new_id(), f"{socket.gethostname()}, process {os.getpid()}"
    place = token if stores.data is None else folder_identity(stores.data / VALKEY_FOLDER)
    holder = LeaseHolder(location=place, token=token, name=name, shared=stores.data is None)
    database = Database(stores.database_url, pool=NullPool)
    lease = _build_lease(holder, database, observer, Drain(), FatalReport())
    try:
        await lease.acquire()
    finally:
        await database.close()
    return HeldLease(holder=holder, valid_until=lease.valid_until)
