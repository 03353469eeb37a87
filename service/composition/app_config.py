"""Settings, clocks and addresses that every cluster is built from."""

import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from service.adapters.dynamic_text import DynamicText
from service.api.http.metrics_endpoint import RenderMetrics
from service.domain.team_access import KEY_PREFIX
from service.settings.gateway import GatewaySettings
from service.settings.reloadable_files import ReloadableFiles, StampedConfig
from service.usecases.background.supervisor import FatalReport
from service.usecases.ports.leases import LeaseHolder
from service.usecases.ports.observer import Observer

SUSPEND_AWARE_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Closeable(Protocol):
    """A part with connections."""

    async def close(self) -> None:
        """Close them."""
        ...


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


def suspend_aware_monotonic() -> float:
    """Seconds that go on while the machine sleeps, where it can tell."""
    return time.clock_gettime(SUSPEND_AWARE_CLOCK)


def new_id() -> str:
    """32 random hex digits."""
    return secrets.token_hex(16)


def new_key_secret() -> str:
    """The text of a new key."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreAddresses:
    """Where everything that lasts is. `data` is the folder for what has no address of its own, if there is one."""

    redis_url: DynamicText
    cache_url: DynamicText
    database_url: DynamicText
    data: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldLease:
    """The lease on the ledger, held by this replica for so long by the clock `suspend_aware_monotonic`."""

    holder: LeaseHolder
    valid_until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AppConfig:
    """All that a gateway is made from. `initial_files` is what the files said at the start: reading takes a while.

    `metrics_renderer` tells metrics, where they are on the gateway's own port.
    `admin_port` is the one on which admin is alone, as it was bound; None is on the gateway's.
    `fatal` is told what the process cannot go on without. Without a `lease` nobody else can have the ledger.
    `gateway_id` is that of all replicas; without one no loop is found.
    """

    settings: GatewaySettings
    files: ReloadableFiles
    initial_files: StampedConfig
    stores: StoreAddresses
    observe: Observer
    metrics_renderer: RenderMetrics | None = None
    admin_port: int | None = None
    fatal: FatalReport = field(default_factory=FatalReport)
    lease: HeldLease | None = None
    gateway_id: str = ""
