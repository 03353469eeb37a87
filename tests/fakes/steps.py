"""The steps of a request, as calls of fakes show them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any


class Steps:
    """Records steps in order, each at its first time."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def watch(self, fake: object, verb: str, name: Callable[..., str]) -> None:
        """Record a step at each call of a fake's method; `name` gets the arguments of the call."""
        inner: Callable[..., Awaitable[Any]] = getattr(fake, verb)

        async def recorded(*about: Any, **more: Any) -> Any:
            step = name(*about)
            if step not in self.done:
                self.done.append(step)
            return await inner(*about, **more)

        setattr(fake, verb, recorded)


def delay(fake: object, verb: str, until: asyncio.Event) -> None:
    """Let a method of a fake wait for an event, as a real one waits for its server."""
    inner: Callable[..., Awaitable[Any]] = getattr(fake, verb)

    async def delayed(*about: Any, **more: Any) -> Any:
        await until.wait()
        return await inner(*about, **more)

    setattr(fake, verb, delayed)
