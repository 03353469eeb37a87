"""Settings, clocks, random names and addresses that every cluster is built from."""

import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from service.adapters.dynamic_text import DynamicText
from service.api.http.metrics_endpoint import MetricsRenderer
from service.domain.team_access import KEY_PREFIX
from service.settings.gateway import GatewaySettings
from service.settings.reloadable_files import ReloadableFiles, StampedConfig
from service.usecases.background.supervisor import FatalReport
from service.usecases.ports.leases import LeaseHolder
from service.usecases.ports.observer import Observer

SUSPEND_AWARE_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Closeable(Protocol):
    """Part that holds connections."""

    async def close(self) -> None:
        """Close the connections."""
        ...


def now() -> datetime:
    """Return the time in UTC."""
    return datetime.now(UTC)


def suspend_aware_monotonic() -> float:
    """Return seconds of a clock that also counts while the machine sleeps, where the system has one."""
    return time.clock_gettime(SUSPEND_AWARE_CLOCK)


def new_id() -> str:
    """Return 32 random hex digits."""
    return secrets.token_hex(16)


def new_key_secret() -> str:
    """Return the text of a new key."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreAddresses:
    """Addresses of Redis, of the cache and of the database.

    Attributes:
        data: Data folder of embedded stores; None if every store has an address of its own.
    """

    redis_url: DynamicText
    cache_url: DynamicText
    database_url: DynamicText
    data: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldLease:
    """Lease on the ledger that this replica holds.

    Attributes:
        valid_until: End of the lease in seconds of `suspend_aware_monotonic`.
    """

    holder: LeaseHolder
    valid_until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AppConfig:
    """Settings and process-wide parts that a gateway is built from.

    Attributes:
        initial_files: Content of the reloadable files at the start, which has read them already.
        metrics_renderer: Source of `/metrics`, if metrics are on the gateway's own port.
        admin_port: Number of the admin API's own port, as bound; None if the gateway's port has it.
        fatal: Report of a failure that the process cannot survive.
        lease: Lease on the ledger; None if no other process can open the ledger.
        gateway_id: Identity of all replicas; without one, calls that lead back to the gateway are not found.
    """

    settings: GatewaySettings
    files: ReloadableFiles
    initial_files: StampedConfig
    stores: StoreAddresses
    observer: Observer
    metrics_renderer: MetricsRenderer | None = None
    admin_port: int | None = None
    fatal: FatalReport = field(default_factory=FatalReport)
    lease: HeldLease | None = None
    gateway_id: str = ""
