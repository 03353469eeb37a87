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

from service.adapters.changing import Changing
from service.adapters.redis.crowd import Crowd
from service.adapters.redis.line import Argument
from service.adapters.redis.parcels import packed, unpacked
from service.adapters.redis.script import SCRIPTS, Script, Scripts, load
from service.adapters.state import PATIENCE_SECONDS
from service.domain.errors import Failure, StateUnavailable
from service.usecases.flights import MOMENT, Boarding, Landing, Result, Seat, Series, Told, hollow

LEASE_SECONDS = 30.0
MEMORY_SECONDS = 600.0
HANDOVER_SECONDS = 10.0
HANDOVER_BYTES = 67_108_864  # of results that this replica has handed over within that time, in all
FREE_LANDINGS = 256  # of a team, that cost nothing and are remembered; about 1 KB each
PIECE_BYTES = 1_048_576  # written and read at a time, so that the server serves others in between
MICROSECONDS, MILLISECONDS = 1_000_000, 1_000
UNREADABLE = "The gateway's state holds a landing that cannot be read."

_decoder = msgspec.json.Decoder(Failure)


_BOARD, _FOLLOW, _SENT, _EXTEND, _LAND, _LEAVE, _REMEMBER, _RECALL, _AWAITED, _TAKEN, _DEAL, _OFFER = (
    load(verb, SCRIPTS / "flights", when_full=verb not in {"board", "deal"})
    for verb in (
        "board",
        "follow",
        "sent",
        "extend",
        "land",
        "leave",
        "remember",
        "recall",
        "awaited",
        "taken",
        "deal",
        "offer",
    )
)


class RedisFlights:
    """The port `Flights`. A leader that shows no sign of life for `lease_seconds` has gone away.

    A flight that was sent and then lost is LOST for `memory_seconds` after the last sign of life, or led by the next if
    the `lost_are_led`. `patience_seconds` is how long the server may take to answer.
    """

    def __init__(  # noqa: PLR0913 (what the settings say of it)
        self,
        url: Changing,
        *,
        lease_seconds: float = LEASE_SECONDS,
        memory_seconds: float = MEMORY_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
        lost_are_led: bool = False,
        crowd: Crowd | None = None,
    ) -> None:
        self.handover_room = HANDOVER_BYTES
        self._scripts = Scripts(url, patience_seconds, crowd)
        lease, memory = round(lease_seconds * MICROSECONDS), max(lease_seconds, memory_seconds)
        self._life = lease, _milliseconds(memory)
        self._lost_are_led = lost_are_led

    async def board(self, team: str, flight: str, owner: str, mark: str = "", told: Told = MOMENT) -> Boarding:
        """Take a seat."""
        landings = "none" if told.new else "remembered" if told.again else "new"
        keys = (_flight_key(team, flight), *([_failure_key(team, told.failure)] if told.failure else ()))
        wanted = owner, *self._life, mark, landings, int(self._lost_are_led), int(told.first_look)
        seat, led_as, *landing = await self._scripts.run(_BOARD, keys, *wanted)
        failure, result, handed, free = landing or (b"", b"", b"", b"")
        return Boarding(
            seat=Seat(seat.decode()),
            mark=led_as.decode(),
            failure=_failure(failure) if failure else None,
            result=_result(result, flight) if result else None,
            handed=handed == b"1",
            free=free == b"1",
        )

    async def follow(self, team: str, wish: str, flight: str, seconds: float, *, again: bool) -> str:
        """Which flight a wish goes by."""
        keys = (f"igw:{{{team}}}:wish:{wish}",)
        name: bytes = await self._scripts.run(_FOLLOW, keys, flight, int(again), _milliseconds(seconds))
        return name.decode()

    async def deal(self, team: str, series: Series, *, again: bool, busy: bool) -> int | Failure:
        """The number of the next request of a series, or a failure."""
        keys = (
            _series_key(team, series),
            _failure_key(team, series.failure),
            *(_flight_key(team, each) for each in series.flights),
        )
        wanted = bool(series.failure), again, busy
        number, failure = await self._scripts.run(_DEAL, keys, *map(int, wanted), _milliseconds(series.seconds))
        return _failure(failure) if failure else int(number)

    async def offer(self, team: str, series: Series, number: int) -> None:
        """The next request takes this number."""
        await self._scripts.run(_OFFER, (_series_key(team, series),), number)

    async def sent(self, team: str, flight: str, owner: str) -> None:
        """From here on nobody else may lead."""
        if not await self._of_flight(_SENT, team, flight, owner, *self._life):
            raise StateUnavailable("This purchase is not led by this request any more.")

    async def remember(self, team: str, name: str, failure: Failure, seconds: float) -> None:
        """Keep a failure."""
        keys = (_failure_key(team, name),)
        await self._scripts.run(_REMEMBER, keys, msgspec.json.encode(failure), _milliseconds(seconds))

    async def recall(self, team: str, name: str) -> Failure | None:
        """The failure that is kept under a name."""
        found: bytes | None = await self._scripts.run(_RECALL, (_failure_key(team, name),))
        return _failure(found) if found else None

    async def extend(self, team: str, flight: str, owner: str) -> None:
        """The leader is alive; nothing if it does not lead."""
        await self._of_flight(_EXTEND, team, flight, owner, *self._life)

    async def land(self, team: str, flight: str, owner: str, landing: Landing) -> None:
        """It is over; nothing if it was not led by `owner`."""
        failure = msgspec.json.encode(landing.failure) if landing.failure else b""
        result = _spelled(landing.result, flight) if landing.result else b""
        everybody, again = _milliseconds(landing.seconds), _milliseconds(landing.again_seconds)
        how_long = everybody * 1000, max(everybody, again)
        keys = (_flight_key(team, flight), *([f"igw:{{{team}}}:free-v1"] if landing.free else ()))
        await self._scripts.run(_LAND, keys, owner, failure, result, *how_long, int(landing.handed), FREE_LANDINGS)

    async def hand_over(self, team: str, flight: str, owner: str, result: Result) -> bool:
        """Lay the result out in pieces."""
        size = sum(len(picture.base64) for picture in result.purchase.pictures) // 4 * 3
        if size > self.handover_room or not await self._of_flight(_AWAITED, team, flight, owner):
            return False
        self.handover_room -= size
        asyncio.get_running_loop().call_later(HANDOVER_SECONDS, self._make_room, size)
        key = _handover_key(team, flight)
        parcel = await asyncio.to_thread(packed, result, key)
        if parcel is None:
            return False
        view = memoryview(parcel)
        for start in range(0, len(view), PIECE_BYTES):
            piece = bytes(view[start : start + PIECE_BYTES])
            add = ("APPEND", key, piece) if start else ("SET", key, piece, "PX", _milliseconds(HANDOVER_SECONDS))
            await self._scripts.ask(*add)
        return True

    async def take_over(self, team: str, flight: str, *, waited: bool) -> Result | None:
        """Read the pieces."""
        key, piece = _handover_key(team, flight), b""
        pieces: list[bytes] = []
        while not pieces or len(piece) == PIECE_BYTES:
            start = len(pieces) * PIECE_BYTES
            piece = await self._scripts.ask("GETRANGE", key, start, start + PIECE_BYTES - 1)
            pieces.append(piece)
        if waited:
            await self._scripts.run(_TAKEN, (_flight_key(team, flight), key))
        return await asyncio.to_thread(unpacked, b"".join(pieces), key)

    def _make_room(self, size: int) -> None:
        self.handover_room += size

    async def leave(self, team: str, flight: str, owner: str) -> None:
        """Others may buy; nothing if it is not led by `owner`."""
        await self._of_flight(_LEAVE, team, flight, owner)

    async def close(self) -> None:
        """Close every connection."""
        await self._scripts.close()

    async def _of_flight(self, script: Script, team: str, flight: str, *arguments: Argument) -> Any:  # noqa: ANN401 (see `Scripts`)
        return await self._scripts.run(script, (_flight_key(team, flight),), *arguments)


def _flight_key(team: str, flight: str) -> str:
    return f"igw:{{{team}}}:flight:{flight}"


def _series_key(team: str, series: Series) -> str:
    return f"igw:{{{team}}}:series-v1:{series.name}"


def _handover_key(team: str, flight: str) -> str:
    return f"igw:{{{team}}}:handover-v1:{flight}"


def _failure_key(team: str, name: str) -> str:
    return f"igw:{{{team}}}:failure-v1:{name}"


def _milliseconds(seconds: float) -> int:
    """For PEXPIRE, which forgets at once what has no time left."""
    return max(0, round(seconds * MILLISECONDS))


def _failure(spelled: bytes) -> Failure:
    try:
        return _decoder.decode(spelled)
    except msgspec.MsgspecError:
        raise StateUnavailable(UNREADABLE) from None


def _spelled(result: Result, flight: str) -> bytes:
    parcel = packed(hollow(result), flight)
    if parcel is None:
        raise StateUnavailable("A result cannot be spelled, so the gateway's state cannot hold it.")
    return parcel


def _result(spelled: bytes, flight: str) -> Result:
    found = unpacked(spelled, flight)
    if found is None:
        raise StateUnavailable(UNREADABLE)
    return found
