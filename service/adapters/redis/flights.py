"""Flights in Redis or Valkey, a single server or a cluster.

Rule: who buys is decided by a script, at once and by the server's clock; every flight goes by itself, `memory_seconds`
after its leader's last sign of life or when its landing is to be forgotten. A server that refuses, hangs, is full,
loading or read-only is `StateUnavailable` within 150 ms, and so is a landing that a newer replica spelled in a way that
this one cannot read. A store that was emptied has no flights.
"""

from typing import Any

import msgspec

from service.adapters.changing import Changing
from service.adapters.redis.crowd import Crowd
from service.adapters.redis.line import Argument
from service.adapters.redis.parcels import packed, unpacked
from service.adapters.redis.script import SCRIPTS, Script, Scripts, load
from service.adapters.state import PATIENCE_SECONDS
from service.domain.errors import Failure, StateUnavailable
from service.usecases.flights import MOMENT, Boarding, Landing, Result, Seat, Told, hollow

LEASE_SECONDS = 30.0
MEMORY_SECONDS = 600.0
MICROSECONDS, MILLISECONDS = 1_000_000, 1_000
UNREADABLE = "The gateway's state holds a landing that cannot be read."

_decoder = msgspec.json.Decoder(Failure)


_BOARD, _FOLLOW, _SENT, _EXTEND, _LAND, _LEAVE, _REMEMBER, _RECALL = (
    load(verb, SCRIPTS / "flights", when_full=verb != "board")
    for verb in ("board", "follow", "sent", "extend", "land", "leave", "remember", "recall")
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
        self._scripts = Scripts(url, patience_seconds, crowd)
        lease, memory = round(lease_seconds * MICROSECONDS), max(lease_seconds, memory_seconds)
        self._life = lease, _milliseconds(memory)
        self._lost_are_led = lost_are_led

    async def board(self, team: str, flight: str, owner: str, mark: str = "", told: Told = MOMENT) -> Boarding:
        """Take a seat."""
        landings = "none" if told.new else "remembered" if told.again else "new"
        keys = (_flight_key(team, flight), *([_failure_key(team, told.failure)] if told.failure else ()))
        wanted = owner, *self._life, mark, landings, int(self._lost_are_led)
        seat, led_as, *landing = await self._scripts.run(_BOARD, keys, *wanted)
        failure, result = landing or (b"", b"")
        return Boarding(
            seat=Seat(seat.decode()),
            mark=led_as.decode(),
            failure=_failure(failure) if failure else None,
            result=_result(result, flight) if result else None,
        )

    async def follow(self, team: str, wish: str, flight: str, seconds: float, *, again: bool) -> str:
        """Which flight a wish goes by."""
        keys = (f"igw:{{{team}}}:wish:{wish}",)
        name: bytes = await self._scripts.run(_FOLLOW, keys, flight, int(again), _milliseconds(seconds))
        return name.decode()

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
        await self._of_flight(_LAND, team, flight, owner, failure, result, everybody * 1000, max(everybody, again))

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
