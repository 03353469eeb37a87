"""Flights in Redis or Valkey, a single server or a cluster.

Rule: a script decides at once which request leads, by the server's clock. Every key expires: `lost_seconds` after the
leader's last sign of life, or when its result need not be remembered any more. A result that callers wait for, and that
no store keeps, is shared for seconds and within `HANDOVER_BYTES` (decision 0035). An emptied store has no flights.

Fails with: `StateUnavailable` within 150 ms if a server refuses, hangs, is full, loading or read-only. A failure or
result of a newer replica that this one cannot read is `StateUnavailable` too.
"""

import asyncio
from typing import Any

import msgspec

from service.adapters.dynamic_text import DynamicText
from service.adapters.redis.client import TIMEOUT_SECONDS
from service.adapters.redis.connection_pool import Argument, ConnectionQueue
from service.adapters.redis.lua_scripts import SCRIPTS, Script, ScriptRunner, load_script
from service.adapters.redis.result_codec import decode_result, encode_result
from service.domain.errors import Failure, StateUnavailable
from service.usecases.ports.flights import (
    DEFAULT_JOIN_RULES,
    FlightResult,
    Flights,
    FlightStatus,
    JoinRules,
    Role,
    SampleSeries,
)
from service.usecases.ports.result_store import Result

LEASE_SECONDS = 30.0
LOST_SECONDS = 600.0
HANDOVER_SECONDS = 10.0
HANDOVER_BYTES = 67_108_864  # sum of the results that a replica shares within that time
MAX_FREE_RESULTS = 256  # remembered results of a team that cost nothing; about 1 KB each
CHUNK_BYTES = 1_048_576  # of one command, so that the server runs other commands in between
MICROSECONDS, MILLISECONDS = 1_000_000, 1_000
UNREADABLE = "The gateway's state holds a result that cannot be read."

_decoder = msgspec.json.Decoder(Failure)


(
    _ACQUIRE,
    _RESOLVE_RETRY,
    _MARK_SENT,
    _EXTEND,
    _FINISH,
    _RELEASE,
    _REMEMBER_FAILURE,
    _RECALL_FAILURE,
    _COUNT_WAITING,
    _RESULT_TAKEN,
    _ASSIGN_SAMPLE,
    _RELEASE_SAMPLE,
) = (
    load_script(verb, SCRIPTS / "flights", when_full=verb not in {"acquire", "assign_sample"})
    for verb in (
        "acquire",
        "resolve_retry",
        "mark_sent",
        "extend",
        "finish",
        "release",
        "remember_failure",
        "recall_failure",
        "count_waiting",
        "result_taken",
        "assign_sample",
        "release_sample",
    )
)


class RedisFlights(Flights):
    """Flights in Redis.

    Attributes:
        lease_seconds: a leader without a sign of life for this time counts as gone.
        lost_seconds: memory of a flight that was sent and then lost its leader.
        repeat_lost: such a flight is led by the next request instead of being LOST.
        timeout_seconds: quiet seconds of one command.
    """

    def __init__(  # noqa: PLR0913 (each is a setting)
        self,
        url: DynamicText,
        *,
        lease_seconds: float = LEASE_SECONDS,
        lost_seconds: float = LOST_SECONDS,
        timeout_seconds: float = TIMEOUT_SECONDS,
        repeat_lost: bool = False,
        queue: ConnectionQueue | None = None,
    ) -> None:
        self.handover_bytes_left = HANDOVER_BYTES
        self._scripts = ScriptRunner(url, timeout_seconds, queue)
        lease, lost = round(lease_seconds * MICROSECONDS), max(lease_seconds, lost_seconds)
        self._lifetimes = lease, _milliseconds(lost)
        self._repeat_lost = repeat_lost

    async def acquire(
        self, team: str, flight: str, owner: str, request_digest: str = "", join_rules: JoinRules = DEFAULT_JOIN_RULES
    ) -> FlightStatus:
        # A retry gets a remembered result too; any other request gets a result only within the shared time.
        visible_results = "none" if join_rules.only_in_flight else "remembered" if join_rules.is_retry else "new"
        keys = (
            _flight_key(team, flight),
            *([_failure_key(team, join_rules.failure_name)] if join_rules.failure_name else ()),
        )
        arguments = (
            owner,
            *self._lifetimes,
            request_digest,
            visible_results,
            int(self._repeat_lost),
            int(join_rules.is_first_poll),
        )
        role, digest, *fields = await self._scripts.run(_ACQUIRE, keys, *arguments)
        failure, result, has_shared_result, is_free = fields or (b"", b"", b"", b"")
        return FlightStatus(
            role=Role(role.decode()),
            request_digest=digest.decode(),
            failure=_decode_failure(failure) if failure else None,
            result=_decode_result(result, flight) if result else None,
            has_shared_result=has_shared_result == b"1",
            is_free=is_free == b"1",
        )

    async def resolve_retry(self, team: str, request_name: str, flight: str, seconds: float, *, is_retry: bool) -> str:
        keys = (f"igw:{{{team}}}:wish:{request_name}",)  # the name of 852ba53, which may run beside this replica
        name: bytes = await self._scripts.run(_RESOLVE_RETRY, keys, flight, int(is_retry), _milliseconds(seconds))
        return name.decode()

    async def assign_sample(
        self, team: str, series: SampleSeries, *, is_retry: bool, has_others_in_flight: bool
    ) -> int | Failure:
        keys = (
            _series_key(team, series),
            _failure_key(team, series.failure_name),
            *(_flight_key(team, flight) for flight in series.flights),
        )
        flags = bool(series.failure_name), is_retry, has_others_in_flight
        number, failure = await self._scripts.run(
            _ASSIGN_SAMPLE, keys, *map(int, flags), _milliseconds(series.ttl_seconds)
        )
        return _decode_failure(failure) if failure else int(number)

    async def release_sample(self, team: str, series: SampleSeries, number: int) -> None:
        await self._scripts.run(_RELEASE_SAMPLE, (_series_key(team, series),), number)

    async def mark_sent(self, team: str, flight: str, owner: str) -> None:
        if not await self._run_for_flight(_MARK_SENT, team, flight, owner, *self._lifetimes):
            raise StateUnavailable("This flight is not led by this request any more.")

    async def remember_failure(self, team: str, name: str, failure: Failure, seconds: float) -> None:
        keys = (_failure_key(team, name),)
        await self._scripts.run(_REMEMBER_FAILURE, keys, msgspec.json.encode(failure), _milliseconds(seconds))

    async def recall_failure(self, team: str, name: str) -> Failure | None:
        reply: bytes | None = await self._scripts.run(_RECALL_FAILURE, (_failure_key(team, name),))
        return _decode_failure(reply) if reply else None

    async def extend(self, team: str, flight: str, owner: str) -> None:
        await self._run_for_flight(_EXTEND, team, flight, owner, *self._lifetimes)

    async def finish(self, team: str, flight: str, owner: str, flight_result: FlightResult) -> None:
        failure = msgspec.json.encode(flight_result.failure) if flight_result.failure else b""
        result = _encode_without_images(flight_result.result, flight) if flight_result.result else b""
        shared, retry = _milliseconds(flight_result.shared_seconds), _milliseconds(flight_result.retry_seconds)
        lifetimes = shared * 1000, max(shared, retry)
        keys = (_flight_key(team, flight), *([f"igw:{{{team}}}:free-v1"] if flight_result.is_free else ()))
        await self._scripts.run(
            _FINISH, keys, owner, failure, result, *lifetimes, int(flight_result.has_shared_result), MAX_FREE_RESULTS
        )

    async def share_result(self, team: str, flight: str, owner: str, result: Result) -> bool:
        size = sum(len(image.base64) for image in result.generation.images) // 4 * 3
        if size > self.handover_bytes_left or not await self._run_for_flight(_COUNT_WAITING, team, flight, owner):
            return False
        self.handover_bytes_left -= size
        asyncio.get_running_loop().call_later(HANDOVER_SECONDS, self._free_handover_bytes, size)
        key = _handover_key(team, flight)
        encoded = await asyncio.to_thread(encode_result, result, key)
        if encoded is None:
            return False
        view = memoryview(encoded)
        for start in range(0, len(view), CHUNK_BYTES):
            chunk = bytes(view[start : start + CHUNK_BYTES])
            command = ("APPEND", key, chunk) if start else ("SET", key, chunk, "PX", _milliseconds(HANDOVER_SECONDS))
            await self._scripts.execute(*command)
        return True

    async def take_shared_result(self, team: str, flight: str, *, waited: bool) -> Result | None:
        key, chunk = _handover_key(team, flight), b""
        chunks: list[bytes] = []
        while not chunks or len(chunk) == CHUNK_BYTES:
            start = len(chunks) * CHUNK_BYTES
            chunk = await self._scripts.execute("GETRANGE", key, start, start + CHUNK_BYTES - 1)
            chunks.append(chunk)
        if waited:
            await self._scripts.run(_RESULT_TAKEN, (_flight_key(team, flight), key))
        return await asyncio.to_thread(decode_result, b"".join(chunks), key)

    def _free_handover_bytes(self, size: int) -> None:
        self.handover_bytes_left += size

    async def release(self, team: str, flight: str, owner: str) -> None:
        await self._run_for_flight(_RELEASE, team, flight, owner)

    async def close(self) -> None:
        await self._scripts.close()

    async def _run_for_flight(self, script: Script, team: str, flight: str, *arguments: Argument) -> Any:  # noqa: ANN401 (see `ScriptRunner`)
        return await self._scripts.run(script, (_flight_key(team, flight),), *arguments)


def _flight_key(team: str, flight: str) -> str:
    return f"igw:{{{team}}}:flight:{flight}"


def _series_key(team: str, series: SampleSeries) -> str:
    return f"igw:{{{team}}}:series-v1:{series.name}"


def _handover_key(team: str, flight: str) -> str:
    return f"igw:{{{team}}}:handover-v1:{flight}"


def _failure_key(team: str, name: str) -> str:
    return f"igw:{{{team}}}:failure-v1:{name}"


def _milliseconds(seconds: float) -> int:
    """Convert seconds for PEXPIRE, which deletes a key that has no time left."""
    return max(0, round(seconds * MILLISECONDS))


def _decode_failure(encoded: bytes) -> Failure:
    try:
        return _decoder.decode(encoded)
    except msgspec.MsgspecError:
        raise StateUnavailable(UNREADABLE) from None


def _encode_without_images(result: Result, flight: str) -> bytes:
    encoded = encode_result(result, flight, with_images=False)
    if encoded is None:
        raise StateUnavailable("A result cannot be encoded, so the gateway's state cannot hold it.")
    return encoded


def _decode_result(encoded: bytes, flight: str) -> Result:
    result = decode_result(encoded, flight)
    if result is None:
        raise StateUnavailable(UNREADABLE)
    return result
