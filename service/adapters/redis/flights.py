"""Flights in Redis or Valkey, a single server or a cluster.

Rule: who buys is decided by a script, at once and by the server's clock; every flight goes by itself, `memory_seconds`
after its leader's last sign of life or when its landing is to be forgotten. A result that callers wait for and find
nowhere else lies here for seconds, within a bound (decision 0035). A server that refuses, hangs, is full,
loading or read-only is `StateUnavailable` within 150 ms, and so is a landing that a newer replica spelled in a way that
this one cannot read. A store that was emptied has no flights.
"""

import asyncio
from typing import Any

import msgspec

from service.adapters.dynamic_text import DynamicText
from service.adapters.redis.client import TIMEOUT_SECONDS
from service.adapters.redis.connection_pool import Argument
from service.adapters.redis.connection_queue import ConnectionQueue
from service.adapters.redis.lua_scripts import SCRIPTS, Script, ScriptRunner, load_script
from service.adapters.redis.result_codec import decode_result, encode_result
from service.domain.errors import Failure, StateUnavailable
from service.usecases.ports.flights import DEFAULT_JOIN_RULES, FlightResult, FlightStatus, JoinRules, Role, SampleSeries
from service.usecases.ports.result_store import Result, without_images

LEASE_SECONDS = 30.0
LOST_SECONDS = 600.0
HANDOVER_SECONDS = 10.0
HANDOVER_BYTES = 67_108_864  # of results that this replica has handed over within that time, in all
MAX_FREE_RESULTS = 256  # of a team, that cost nothing and are remembered; about 1 KB each
CHUNK_BYTES = 1_048_576  # written and read at a time, so that the server serves others in between
MICROSECONDS, MILLISECONDS = 1_000_000, 1_000
UNREADABLE = "The gateway's state holds a landing that cannot be read."

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


class RedisFlights:
    """The port `Flights`. A leader that shows no sign of life for `lease_seconds` has gone away.

    A flight that was sent and then lost is LOST for `memory_seconds` after the last sign of life, or led by the next if
    the `lost_are_led`. `patience_seconds` is how long the server may take to answer.
    """

    def __init__(  # noqa: PLR0913 (what the settings say of it)
        self,
        url: DynamicText,
        *,
        lease_seconds: float = LEASE_SECONDS,
        memory_seconds: float = LOST_SECONDS,
        patience_seconds: float = TIMEOUT_SECONDS,
        lost_are_led: bool = False,
        crowd: ConnectionQueue | None = None,
    ) -> None:
        self.handover_room = HANDOVER_BYTES
        self._scripts = ScriptRunner(url, patience_seconds, crowd)
        lease, memory = round(lease_seconds * MICROSECONDS), max(lease_seconds, memory_seconds)
        self._life = lease, _milliseconds(memory)
        self._lost_are_led = lost_are_led

    async def board(
        self, team: str, flight: str, owner: str, mark: str = "", told: JoinRules = DEFAULT_JOIN_RULES
    ) -> FlightStatus:
        """Take a seat."""
        landings = "none" if told.new else "remembered" if told.again else "new"
        keys = (_flight_key(team, flight), *([_failure_key(team, told.failure)] if told.failure else ()))
        wanted = owner, *self._life, mark, landings, int(self._lost_are_led), int(told.first_look)
        seat, led_as, *landing = await self._scripts.run(_ACQUIRE, keys, *wanted)
        failure, result, handed, free = landing or (b"", b"", b"", b"")
        return FlightStatus(
            seat=Role(seat.decode()),
            mark=led_as.decode(),
            failure=_decode_failure(failure) if failure else None,
            result=_decode_result(result, flight) if result else None,
            handed=handed == b"1",
            free=free == b"1",
        )

    async def follow(self, team: str, wish: str, flight: str, seconds: float, *, again: bool) -> str:
        """Which flight a wish goes by."""
        keys = (f"igw:{{{team}}}:wish:{wish}",)
        name: bytes = await self._scripts.run(_RESOLVE_RETRY, keys, flight, int(again), _milliseconds(seconds))
        return name.decode()

    async def deal(self, team: str, series: SampleSeries, *, again: bool, busy: bool) -> int | Failure:
        """The number of the next request of a series, or a failure."""
        keys = (
            _series_key(team, series),
            _failure_key(team, series.failure),
            *(_flight_key(team, each) for each in series.flights),
        )
        wanted = bool(series.failure), again, busy
        number, failure = await self._scripts.run(
            _ASSIGN_SAMPLE, keys, *map(int, wanted), _milliseconds(series.seconds)
        )
        return _decode_failure(failure) if failure else int(number)

    async def offer(self, team: str, series: SampleSeries, number: int) -> None:
        """The next request takes this number."""
        await self._scripts.run(_RELEASE_SAMPLE, (_series_key(team, series),), number)

    async def sent(self, team: str, flight: str, owner: str) -> None:
        """From here on nobody else may lead."""
        if not await self._of_flight(_MARK_SENT, team, flight, owner, *self._life):
            raise StateUnavailable("This purchase is not led by this request any more.")

    async def remember(self, team: str, name: str, failure: Failure, seconds: float) -> None:
        """Keep a failure."""
        keys = (_failure_key(team, name),)
        await self._scripts.run(_REMEMBER_FAILURE, keys, msgspec.json.encode(failure), _milliseconds(seconds))

    async def recall(self, team: str, name: str) -> Failure | None:
        """The failure that is kept under a name."""
        found: bytes | None = await self._scripts.run(_RECALL_FAILURE, (_failure_key(team, name),))
        return _decode_failure(found) if found else None

    async def extend(self, team: str, flight: str, owner: str) -> None:
        """The leader is alive; nothing if it does not lead."""
        await self._of_flight(_EXTEND, team, flight, owner, *self._life)

    async def land(self, team: str, flight: str, owner: str, landing: FlightResult) -> None:
        """It is over; nothing if it was not led by `owner`."""
        failure = msgspec.json.encode(landing.failure) if landing.failure else b""
        result = _encode_without_images(landing.result, flight) if landing.result else b""
        everybody, again = _milliseconds(landing.seconds), _milliseconds(landing.again_seconds)
        how_long = everybody * 1000, max(everybody, again)
        keys = (_flight_key(team, flight), *([f"igw:{{{team}}}:free-v1"] if landing.free else ()))
        await self._scripts.run(_FINISH, keys, owner, failure, result, *how_long, int(landing.handed), MAX_FREE_RESULTS)

    async def hand_over(self, team: str, flight: str, owner: str, result: Result) -> bool:
        """Lay the result out in pieces."""
        size = sum(len(picture.base64) for picture in result.purchase.pictures) // 4 * 3
        if size > self.handover_room or not await self._of_flight(_COUNT_WAITING, team, flight, owner):
            return False
        self.handover_room -= size
        asyncio.get_running_loop().call_later(HANDOVER_SECONDS, self._make_room, size)
        key = _handover_key(team, flight)
        parcel = await asyncio.to_thread(encode_result, result, key)
        if parcel is None:
            return False
        view = memoryview(parcel)
        for start in range(0, len(view), CHUNK_BYTES):
            piece = bytes(view[start : start + CHUNK_BYTES])
            add = ("APPEND", key, piece) if start else ("SET", key, piece, "PX", _milliseconds(HANDOVER_SECONDS))
            await self._scripts.ask(*add)
        return True

    async def take_over(self, team: str, flight: str, *, waited: bool) -> Result | None:
        """Read the pieces."""
        key, piece = _handover_key(team, flight), b""
        pieces: list[bytes] = []
        while not pieces or len(piece) == CHUNK_BYTES:
            start = len(pieces) * CHUNK_BYTES
            piece = await self._scripts.ask("GETRANGE", key, start, start + CHUNK_BYTES - 1)
            pieces.append(piece)
        if waited:
            await self._scripts.run(_RESULT_TAKEN, (_flight_key(team, flight), key))
        return await asyncio.to_thread(decode_result, b"".join(pieces), key)

    def _make_room(self, size: int) -> None:
        self.handover_room += size

    async def leave(self, team: str, flight: str, owner: str) -> None:
        """Others may buy; nothing if it is not led by `owner`."""
        await self._of_flight(_RELEASE, team, flight, owner)

    async def close(self) -> None:
        """Close every connection."""
        await self._scripts.close()

    async def _of_flight(self, script: Script, team: str, flight: str, *arguments: Argument) -> Any:  # noqa: ANN401 (see `ScriptRunner`)
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
    """For PEXPIRE, which forgets at once what has no time left."""
    return max(0, round(seconds * MILLISECONDS))


def _decode_failure(spelled: bytes) -> Failure:
    try:
        return _decoder.decode(spelled)
    except msgspec.MsgspecError:
        raise StateUnavailable(UNREADABLE) from None


def _encode_without_images(result: Result, flight: str) -> bytes:
    parcel = encode_result(without_images(result), flight)
    if parcel is None:
        raise StateUnavailable("A result cannot be spelled, so the gateway's state cannot hold it.")
    return parcel


def _decode_result(spelled: bytes, flight: str) -> Result:
    found = decode_result(spelled, flight)
    if found is None:
        raise StateUnavailable(UNREADABLE)
    return found
