"""A vendor with moods: it answers most calls, refuses, cuts, resets or delays some, and has outages.

Rule: chance comes from a seed. The vendor records its mood for every call, which says whether the call may be billed:
the image was drawn, even if only half of it was sent. A call that was reset unread has no name; the vendor only counts
it.
"""

import asyncio
import json
import socket
import struct
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from http import HTTPStatus
from random import Random

from tests.simulators import openai
from tests.simulators.exchange import Reply
from tests.simulators.recording import Recorded
from tests.simulators.server import Defaults
from tests.support.vendor_host import read_head

SLOW_SECONDS = (1.0, 3.0)
SOON = {"retry-after-ms": "300"}


class Mood(StrEnum):
    """Action of a vendor on one call."""

    DRAWS = "draws"
    DAWDLES = "draws slowly"
    CUTS = "draws, and sends half"
    TEARS = "tears it down unread"
    LIMITS = "429"
    OVERLOADED = "503"
    FAILS = "500"
    BLOCKS = "400"


WEIGHTS: Mapping[Mood, float] = {
    Mood.DRAWS: 87,
    Mood.DAWDLES: 4,
    Mood.CUTS: 1,
    Mood.TEARS: 1,
    Mood.LIMITS: 1,
    Mood.OVERLOADED: 2,
    Mood.FAILS: 2,
    Mood.BLOCKS: 2,
}
BILLED = frozenset({Mood.DRAWS, Mood.DAWDLES, Mood.CUTS})
REFUSALS: Mapping[Mood, str] = {
    Mood.LIMITS: "slow_down",
    Mood.OVERLOADED: "server_is_overloaded",
    Mood.FAILS: "server_error",
    Mood.BLOCKS: "moderation_blocked",
}


@dataclass(frozen=True, slots=True)
class Called:
    """One call and the vendor's mood.

    `name` is the prompt, empty if the call was not read. `at` is in monotonic seconds.
    """

    name: str
    mood: Mood
    at: float


@dataclass(frozen=True, slots=True)
class Outage:
    """Interval without service, in monotonic seconds."""

    began: float
    ended: float = float("inf")


@dataclass(slots=True)
class Moody:
    chance: Random
    held: socket.socket
    calls: list[Called] = field(default_factory=list)
    outages: list[Outage] = field(default_factory=list)
    _listening: asyncio.Server | None = None
    _connections: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.held.getsockname()[1]}/v1"

    @property
    def away(self) -> bool:
        """Whether the vendor has an outage now."""
        return bool(self.outages) and self.outages[-1].ended == float("inf")

    async def listen(self) -> None:
        """Accept connections."""
        self._listening = await asyncio.start_server(self._accept, *self.held.getsockname())

    def deafen(self) -> None:
        """Refuse connections."""
        if self._listening:
            self._listening.close()

    async def be_away(self, seconds: float, *, refusing: bool) -> None:
        """Have an outage: refuse connections, or accept them and answer each call with 503."""
        self.outages.append(Outage(time.monotonic()))
        if refusing:
            self.deafen()
        await asyncio.sleep(seconds)
        if refusing:
            await self.listen()
        self.outages[-1] = Outage(self.outages[-1].began, time.monotonic())

    def was_well(self, began: float, ended: float) -> bool:
        """Return whether no outage touched the interval."""
        return all(outage.ended < began or outage.began > ended for outage in self.outages)

    def has_refused(self, name: str, began: float, ended: float) -> bool:
        """Return whether the vendor refused a call of that name in the interval."""
        return any(call.name == name and call.mood in REFUSALS and began <= call.at <= ended for call in self.calls)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                while await self._call(reader, writer):
                    pass
        finally:
            writer.close()

    async def _call(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve one call. Return whether another one may follow on this connection."""
        head = await read_head(reader)
        mood = Mood.OVERLOADED if self.away else self.chance.choices([*WEIGHTS], [*WEIGHTS.values()])[0]
        if mood is Mood.TEARS:
            self.calls.append(Called("", mood, time.monotonic()))
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            return False
        asked = await _asked(head, reader)
        self.calls.append(Called(asked.fields["prompt"], mood, time.monotonic()))
        if mood is Mood.DAWDLES:
            await asyncio.sleep(self.chance.uniform(*SLOW_SECONDS))
        reply = _refusal(mood) if mood in REFUSALS else openai.respond(asked, Defaults())
        last = self.away or mood is Mood.CUTS
        payload = _bytes(reply, last=last)
        writer.write(payload[: len(payload) // 2] if mood is Mood.CUTS else payload)
        await writer.drain()
        return not last

    async def close(self) -> None:
        """Close all connections."""
        self.deafen()
        for connection in [*self._connections]:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)


@asynccontextmanager
async def moody(seed: int) -> AsyncIterator[Moody]:
    """Run a vendor. It keeps its port while it refuses connections."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        vendor = Moody(Random(seed), held)  # noqa: S311 (moods, not secrets)
        await vendor.listen()
        try:
            yield vendor
        finally:
            await vendor.close()


async def _asked(head: str, reader: asyncio.StreamReader) -> Recorded:
    """Read the rest of a request, in the form that simulators take."""
    first, *lines = head.rstrip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    body = await reader.readexactly(int(headers["content-length"]))
    return Recorded(
        method=method,
        path=path,
        headers=headers,
        content_type=headers["content-type"],
        fields=json.loads(body),
        raw_length=len(body),
    )


@cache
def _refusal(mood: Mood) -> Reply:
    answer = openai.FAULTS[REFUSALS[mood]]
    headers = dict(answer.headers) | (SOON if mood is Mood.LIMITS else {})
    return Reply(status=answer.status or 500, headers=headers, chunks=(answer.body or b"",))


def _bytes(reply: Reply, *, last: bool) -> bytes:
    headers = {"content-type": "application/json"} | dict(reply.headers) | {"content-length": str(len(reply.body))}
    headers |= {"connection": "close"} if last else {}
    lines = [
        f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}",
        *(f"{name}: {headers[name]}" for name in headers),
    ]
    return "\r\n".join((*lines, "", "")).encode() + reply.body
