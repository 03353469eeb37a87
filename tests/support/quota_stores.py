"""Quota stores for one suite: the fake, a single server and a cluster, and hold requests to run it with."""

import itertools
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from service.adapters.redis.client import connect, disconnect
from service.adapters.redis.quota_store import RedisQuotaStore
from service.domain.ledger import Basis, Entry, EntryStatus, HoldRequest
from service.domain.quota_limits import TEAM, Limit, LimitStatus, Measure
from service.usecases.ports.ledger import Spent
from service.usecases.ports.quota_store import QuotaStore
from tests.fakes.quota_store import FakeQuotaStore

CENT = 10_000_000
LONG_TIMEOUT_SECONDS = 10  # tests with it check results, not durations
KEY, MODEL, HIGH, LOW = "key:k1", "model:painter", "tier:high", "tier:low"
SCOPES = (TEAM, KEY, MODEL, HIGH)

_numbers = itertools.count(1)


class HarnessStore(Protocol):
    """Store that has a team's holds."""

    def leasing(self, seconds: float) -> QuotaStore:
        """Return a quota store whose holds live for `seconds`."""
        ...

    async def empty(self, team: str) -> None:
        """Delete all data of the team."""
        ...

    async def restart(self, team: str) -> None:
        """Mark the team's counters as those of an earlier run."""
        ...


@dataclass(frozen=True)
class FakeStore:
    fake: FakeQuotaStore = field(default_factory=FakeQuotaStore)

    def leasing(self, seconds: float) -> QuotaStore:
        self.fake.lease_seconds = seconds
        return self.fake

    async def empty(self, team: str) -> None:  # noqa: ARG002 (in memory there is one team at a time)
        self.fake.forget()

    async def restart(self, team: str) -> None:  # noqa: ARG002 (likewise)
        self.fake.restart()


@dataclass(frozen=True)
class RealStore:
    url: str
    opened: list[RedisQuotaStore] = field(default_factory=list)

    def leasing(self, seconds: float) -> QuotaStore:
        self.opened.append(RedisQuotaStore(self.url, lease_seconds=seconds, timeout_seconds=LONG_TIMEOUT_SECONDS))
        return self.opened[-1]

    async def empty(self, team: str) -> None:
        client = connect(self.url)
        async for key in client.scan_iter(match=f"igw:{{{team}}}:*"):
            await client.delete(key)
        await disconnect(client)

    async def restart(self, team: str) -> None:
        client = connect(self.url)
        await client.execute_command("HSET", f"igw:{{{team}}}:state", "ready", "0" * 40)
        await disconnect(client)

    async def close(self) -> None:
        for ledger in self.opened:
            await ledger.close()


@dataclass(frozen=True)
class QuotaHarness:
    """A team, and a quota store with its holds."""

    store: HarnessStore
    team: str
    ledger: QuotaStore

    def hold_request(self, **changes: Any) -> HoldRequest:
        """Build a request for a hold of 20 cents for one image, under a new id."""
        asked = {"hold_id": f"h{next(_numbers)}", "quote": 20 * CENT, "images": 1, "scopes": SCOPES, **changes}
        known = {"hold_id": asked["hold_id"], "team": self.team, "cost": asked["quote"]}
        return HoldRequest(**{"entry": build_entry(**known), **asked})

    async def used(self, measure: Measure = Measure.DAY, scope: str = TEAM) -> int:
        """Return the used part of a measure."""
        return (await self.limit_status(Limit(scope, measure, 10**9))).used

    async def limit_status(self, limit: Limit) -> LimitStatus:
        (status,) = await self.ledger.limit_status(self.team, [limit])
        return status

    async def rebuild(self, day: Mapping[str, int] | None = None, month: Mapping[str, int] | None = None) -> bool:
        """Rebuild the counters from these sums of the ledger."""
        audit = await self.ledger.snapshot(self.team)
        spent = Spent(at=audit.at, day=day or {}, month=month or day or {})
        return await self.ledger.rebuild(self.team, audit, spent, ())

    async def entries(self) -> list[Entry]:
        """Return the entries in the outbox."""
        return [waiting.entry for waiting in await self.ledger.read_outbox(self.team, 1000)]


def build_entry(**changes: Any) -> Entry:
    """Build the entry of a hold that expires."""
    plain = {
        "request_id": "req_1",
        "key": "k1",
        "operation": "generate",
        "model": "painter",
        "backend": "alpha",
        "upstream_model": "alpha/painter",
        "price_version": "cent@2026-01-01",
        "output_format": "png",
        "n": 1,
        "tier": "high",
        "resolved_tier": "high",
        "tags": {"project": "fox"},
        "basis": Basis.UNCONFIRMED,
        "status": EntryStatus.LOST,
    }
    return Entry(**{**plain, **changes})


@asynccontextmanager
async def open_quota_harness(kind: str, url: str) -> AsyncIterator[QuotaHarness]:
    """Open a harness whose counters are not initialised: on the fake, or on the server at an address."""
    store = FakeStore() if kind == "fake" else RealStore(url)
    try:
        yield QuotaHarness(store, f"team-{uuid.uuid4().hex[:12]}", store.leasing(60))
    finally:
        if isinstance(store, RealStore):
            await store.close()
