"""Quotas, holds and the outbox in Redis or Valkey, a single server or a cluster.

Rule: a script takes each decision at once, by the server's clock. This module only encodes and decodes. All keys of a
team carry `{team}`, so that they are in one slot. Entries in the outbox are JSON that older and newer replicas read:
unknown fields are ignored, missing fields have their defaults. The version is an entry's first field. Gateways without
it wrote every generation as `bypass`.

Fails with: `StateUnavailable` within 150 ms if a server refuses, hangs, is full, loading or read-only; `CountersLost`
if another run of the server wrote the counters.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import msgspec

from service.adapters.dynamic_text import DynamicText
from service.adapters.redis.client import TIMEOUT_SECONDS
from service.adapters.redis.connection_pool import Argument, ConnectionQueue
from service.adapters.redis.lua_scripts import Script, ScriptRunner, load_script
from service.domain.errors import LimitExceeded, StateUnavailable
from service.domain.ledger import (
    ENTRY_VERSION,
    Admission,
    Entry,
    HoldRequest,
    HoldState,
    posted_scopes,
    to_cache_status,
)
from service.domain.limit_errors import SECOND, build_limit_error, window_end
from service.domain.quota_limits import MONEY, Limit, LimitStatus
from service.usecases.ports.ledger import Spent
from service.usecases.ports.quota_store import CountersLost, CounterSnapshot, OutboxEntry, PostResult, QuotaStore

LEASE_SECONDS = 60.0
MAX_SWEPT = 100
TEAMS, LEADER = "igw:teams", "igw:leader"

_HOLD, _LIMIT_STATUS, _READ_OUTBOX = load_script("hold"), load_script("limit_status"), load_script("read_outbox")
_MARK_SENT, _POST, _VOID, _EXTEND, _SWEEP, _ACKNOWLEDGE, _SNAPSHOT, _REBUILD, _REGISTER_TEAMS, _ACQUIRE_LEADERSHIP = (
    load_script(verb, when_full=True)  # a full server still ends holds
    for verb in (
        "mark_sent",
        "post",
        "void",
        "extend",
        "sweep",
        "acknowledge",
        "snapshot",
        "rebuild",
        "register_teams",
        "acquire_leadership",
    )
)


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Entry)
_ENTRY_START = b'{"version":%d,' % ENTRY_VERSION


class _VersionField(msgspec.Struct):
    version: int | None = None


_version_decoder = msgspec.json.Decoder(_VersionField)


class RedisQuotaStore(QuotaStore):
    """Quotas, holds and the outbox in Redis.

    Attributes:
        lease_seconds: a hold that is not extended for this time is swept.
        timeout_seconds: quiet seconds of one command.
    """

    def __init__(
        self,
        url: DynamicText,
        *,
        lease_seconds: float = LEASE_SECONDS,
        timeout_seconds: float = TIMEOUT_SECONDS,
        queue: ConnectionQueue | None = None,
    ) -> None:
        self._scripts = ScriptRunner(url, timeout_seconds, queue)
        self._lease = round(lease_seconds * SECOND)

    async def hold(
        self, team: str, hold_requests: Sequence[HoldRequest], limits: Sequence[Limit], *, state: HoldState
    ) -> Admission:
        arguments = chain.from_iterable(map(_hold_arguments, hold_requests))
        reply = await self._run_for_team(
            _HOLD, team, state.value, self._lease, len(limits), *_limit_arguments(limits), *arguments
        )
        match reply:
            case [b"held", at, held_at, *numbers]:
                return Admission(held_at=held_at, limit_status=_to_limit_status(limits, numbers, at))
            case [b"full", *numbers]:
                raise _limit_error(team, limits, *numbers)
            case [b"over"]:
                raise StateUnavailable("A hold of this request has ended already.")
            case _:
                raise CountersLost

    async def mark_sent(self, team: str, hold_ids: Sequence[str]) -> None:
        if not await self._run_for_team(_MARK_SENT, team, *hold_ids):
            raise StateUnavailable("A hold of this request has ended already.")

    async def post(self, entry: Entry) -> PostResult:
        scopes = "\n".join(posted_scopes(entry))
        state, *outbox_place = await self._run_for_team(
            _POST, entry.team, entry.hold_id, entry.cost, scopes, encode_entry(entry), entry.held_at
        )
        match outbox_place:
            case [bytes(outbox_id), int(held_at), int(posted_at)]:
                return PostResult(
                    state=HoldState(state.decode()), outbox_id=outbox_id.decode(), held_at=held_at, posted_at=posted_at
                )
            case _:
                return PostResult(state=HoldState(state.decode()))

    async def void(self, team: str, hold_id: str) -> HoldState:
        state: bytes = await self._run_for_team(_VOID, team, hold_id)
        return HoldState(state.decode())

    async def extend(self, team: str, hold_requests: Sequence[HoldRequest]) -> None:
        arguments = ((hold_request.entry.held_at, *_hold_arguments(hold_request)) for hold_request in hold_requests)
        await self._run_for_team(_EXTEND, team, self._lease, *chain.from_iterable(arguments))

    async def sweep(self, team: str) -> Sequence[HoldState]:
        return tuple(HoldState(state.decode()) for state in await self._run_for_team(_SWEEP, team, MAX_SWEPT))

    async def limit_status(self, team: str, limits: Sequence[Limit]) -> Sequence[LimitStatus]:
        match await self._run_for_team(_LIMIT_STATUS, team, *_limit_arguments(limits)):
            case [b"stand", at, *numbers]:
                return _to_limit_status(limits, numbers, at)
            case _:
                raise CountersLost

    async def read_outbox(self, team: str, limit: int) -> Sequence[OutboxEntry]:
        return tuple(
            decode_entry(outbox_id, fields) for outbox_id, fields in await self._run_for_team(_READ_OUTBOX, team, limit)
        )

    async def acknowledge(self, team: str, outbox_ids: Sequence[str]) -> int:
        acknowledged: int = await self._run_for_team(_ACKNOWLEDGE, team, *outbox_ids)
        return acknowledged

    async def snapshot(self, team: str) -> CounterSnapshot:
        epoch, version, at, ids = await self._run_for_team(_SNAPSHOT, team)
        open_holds = tuple(hold_id.decode() for hold_id in ids)
        return CounterSnapshot(epoch=epoch.decode(), version=version.decode(), at=at, open_holds=open_holds)

    async def rebuild(self, team: str, snapshot: CounterSnapshot, spent: Spent, settled: Collection[str]) -> bool:
        sums = (*_sum_arguments(spent.day), *_sum_arguments(spent.month))
        return bool(
            await self._run_for_team(_REBUILD, team, snapshot.epoch, snapshot.version, spent.at, *sums, *settled)
        )

    async def register_teams(self, teams: Collection[str]) -> Collection[str]:
        known = await self._scripts.run(_REGISTER_TEAMS, (TEAMS,), *teams)
        return frozenset(team.decode() for team in known)

    async def acquire_leadership(self, owner: str, seconds: float) -> bool:
        return bool(await self._scripts.run(_ACQUIRE_LEADERSHIP, (LEADER,), owner, max(1, round(seconds * 1000))))

    async def close(self) -> None:
        await self._scripts.close()

    async def _run_for_team(self, script: Script, team: str, *arguments: Argument) -> Any:  # noqa: ANN401 (see `ScriptRunner`)
        keys = (f"igw:{{{team}}}:state", f"igw:{{{team}}}:holds", f"igw:{{{team}}}:outbox")
        return await self._scripts.run(script, keys, *arguments)


def _limit_arguments(limits: Sequence[Limit]) -> Iterator[Argument]:
    for limit in limits:
        yield from (limit.scope, limit.measure.value, limit.maximum)


def _hold_arguments(hold_request: HoldRequest) -> tuple[Argument, ...]:
    posted = "\n".join(posted_scopes(hold_request.entry))
    scopes = "\n".join(hold_request.scopes)
    quotes = (
        "\n".join(str(hold_request.quote_in(scope)) for scope in hold_request.scopes) if hold_request.quotes else ""
    )
    return (
        hold_request.hold_id,
        hold_request.quote,
        hold_request.images,
        scopes,
        quotes,
        hold_request.entry.cost,
        posted,
        encode_entry(hold_request.entry),
    )


def _sum_arguments(window: Mapping[str, int]) -> Iterator[Argument]:
    yield len(window)
    for scope, nanos in window.items():
        yield from (scope, nanos)


def _to_limit_status(limits: Sequence[Limit], numbers: Sequence[int], at: int) -> tuple[LimitStatus, ...]:
    """Pair limits with `numbers`: for each limit its used amount, and the microseconds until a rate is free again."""
    return tuple(
        LimitStatus(limit=limit, used=used, resets_in=_resets_in(limit, resets, at))
        for limit, used, resets in zip(limits, numbers[::2], numbers[1::2], strict=True)
    )


def _resets_in(limit: Limit, resets: int, at: int) -> float:
    return (window_end(limit.measure, at) - at if limit.measure in MONEY else resets) / SECOND


def _limit_error(team: str, limits: Sequence[Limit], at: int, index: int, *numbers: int) -> LimitExceeded:
    requested, used, resets, wait = numbers
    limit = limits[index]
    resets_in = _resets_in(limit, resets, at)
    certain_wait: float | None = wait / SECOND if wait >= 0 else None
    if limit.measure in MONEY and requested <= limit.maximum:
        certain_wait = resets_in
    return build_limit_error(
        team, LimitStatus(limit=limit, used=used, resets_in=resets_in, wait_seconds=certain_wait), requested, at
    )


def encode_entry(entry: Entry) -> bytes:
    """Encode an entry for the outbox. The times of hold and post stand beside it in the stream."""
    return _ENTRY_START + _encoder.encode(entry)[1:]


def decode_entry(outbox_id: bytes, pairs: Sequence[bytes]) -> OutboxEntry:
    """Decode an entry and its times from the names and values of a stream's item."""
    fields = dict(zip(pairs[::2], pairs[1::2], strict=True))
    entry = _decoder.decode(fields[b"entry"])
    entry = replace(
        entry,
        cache=to_cache_status(entry.cache, _version_decoder.decode(fields[b"entry"]).version),
        held_at=int(fields[b"held_at"]),
        posted_at=int(fields[b"posted_at"]),
    )
    return OutboxEntry(outbox_id=outbox_id.decode(), entry=entry)
