"""Callers, each with one connection and one request at a time, until the requests are used up.

Rule: requests are prepared bytes. Replies are counted by status and dropped.

Fails with: `ConnectionError`, for all callers, if a connection is closed.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import cast
from urllib.parse import urlsplit

HEAD = re.compile(rb"HTTP/1\.1 (\d+) .*?\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE | re.DOTALL)
END = b"\r\n\r\n"
OK = 200
SHOWN = 300
Next = Callable[[], bytes | None]
"""The next request, or None after the last."""


@dataclass(slots=True)
class Tally:
    """Number of replies so far, by status, and the end of the last failed one."""

    statuses: Counter[int] = field(default_factory=Counter)
    wrong: bytes = b""

    @property
    def served(self) -> int:
        """Number of successful replies."""
        return self.statuses[OK]

    @property
    def failed(self) -> int:
        """Number of failed replies."""
        return self.statuses.total() - self.served


class Caller(asyncio.Protocol):
    """One connection."""

    def __init__(self, ask: Next, tally: Tally) -> None:
        self._ask, self._tally = ask, tally
        self._head, self._missing, self._status = b"", -1, 0
        self._transport: asyncio.Transport
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._go_on()

    def data_received(self, data: bytes) -> None:
        if self._missing < 0:
            self._begin(data)
        else:
            self._missing -= len(data)
        if self._missing == 0:
            self._tally.statuses[self._status] += 1
            if self._status != OK:
                self._tally.wrong = data[-SHOWN:]
            self._missing = -1
            self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("hung up on"))

    def _begin(self, data: bytes) -> None:
        self._head += data
        end = self._head.find(END) + len(END)
        if end >= len(END):
            match = HEAD.match(self._head)
            assert match, self._head[:end]
            self._status, self._missing = int(match[1]), int(match[2]) - (len(self._head) - end)
            self._head = b""

    def _go_on(self) -> None:
        following = self._ask()
        if following is None:
            self.done.set_result(None)
            self._transport.close()
        else:
            self._transport.write(following)


async def call(urls: Sequence[str], ask: Next, at_once: int, spread: float, tally: Tally) -> None:
    """Run `at_once` callers, spread over the addresses. They begin evenly over `spread` seconds. Returns when all have
    ended.
    """
    loop, callers = asyncio.get_running_loop(), []
    for number in range(at_once):
        address = urlsplit(urls[number % len(urls)])
        make = partial(Caller, ask, tally)
        _, caller = await loop.create_connection(make, str(address.hostname), address.port or 80)
        callers.append(caller.done)
        await asyncio.sleep(spread / at_once)
    await asyncio.gather(*callers)


def asking(bodies: Callable[[int], bytes], most: int) -> Next:
    """Number the requests, `most` at most."""
    numbers = iter(range(most))

    def following() -> bytes | None:
        number = next(numbers, None)
        return None if number is None else bodies(number)

    return following
