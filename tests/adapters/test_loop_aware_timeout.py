"""Waiting for others, as long as it is they who are late."""

import asyncio
import socket
import time

import pytest

from service.adapters import loop_aware_timeout
from service.adapters.loop_aware_timeout import LoopAwareTimeout


def busy(seconds: float) -> None:
    """Keep the loop from everything else."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


async def test_who_does_not_answer_is_given_up() -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        async with LoopAwareTimeout(0.06):
            await asyncio.Event().wait()
    assert time.monotonic() - began >= 0.06


async def test_who_answers_is_not() -> None:
    async with LoopAwareTimeout(0.06):
        await asyncio.sleep(0)


async def test_the_time_in_which_nobody_could_listen_does_not_count() -> None:
    answered = asyncio.Event()
    left, loop = 30, asyncio.get_running_loop()

    def work() -> None:
        nonlocal left
        left -= 1
        busy(0.03)
        if left:
            loop.call_soon(work)
        else:
            answered.set()

    loop.call_soon(work)
    async with LoopAwareTimeout(0.06):
        await answered.wait()
    assert left == 0


async def test_a_process_that_is_not_run_for_long_has_not_waited() -> None:
    """The reply comes while nothing runs, and is read when it runs again."""
    loop, (mine, theirs) = asyncio.get_running_loop(), socket.socketpair()
    with mine, theirs:
        mine.setblocking(False)

        def sleep_while_they_answer() -> None:
            busy(6.0)
            theirs.send(b"+OK")

        loop.call_later(0.01, sleep_while_they_answer)
        async with LoopAwareTimeout(0.06):
            assert await loop.sock_recv(mine, 3) == b"+OK"


async def test_a_reply_that_lies_ready_is_read_before_anything_is_given_up() -> None:
    """The loop is late in every slice, by less than what shows."""
    loop, (mine, theirs) = asyncio.get_running_loop(), socket.socketpair()
    with mine, theirs:
        mine.setblocking(False)
        for after in range(1, 5):
            loop.call_later(loop_aware_timeout.SLICE_SECONDS * after - 0.016, busy, 0.017)
        loop.call_later(loop_aware_timeout.SLICE_SECONDS * 3 - 0.005, theirs.send, b"+OK")
        async with LoopAwareTimeout(0.06):
            assert await loop.sock_recv(mine, 3) == b"+OK"


async def test_there_is_an_end_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_aware_timeout, "MAX_POLLS", 3)
    loop, ended = asyncio.get_running_loop(), False

    def work() -> None:
        busy(0.03)
        if not ended:
            loop.call_soon(work)

    loop.call_soon(work)
    try:
        with pytest.raises(TimeoutError):
            async with LoopAwareTimeout(1000):
                await asyncio.Event().wait()
    finally:
        ended = True


async def test_a_cancelled_wait_stays_cancelled() -> None:
    async def wait() -> None:
        async with LoopAwareTimeout(10):
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_inside_comes_out() -> None:
    with pytest.raises(KeyError):
        async with LoopAwareTimeout(10):
            raise KeyError


@pytest.mark.parametrize("error", [None, OSError("the connection was closed"), TimeoutError("too late")])
async def test_who_is_asked_to_end_ends_whatever_becomes_of_that_inside(error: Exception | None) -> None:
    waiting = asyncio.Event()

    async def swallow() -> None:
        async with LoopAwareTimeout(60):
            waiting.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if error:
                    raise error from None

    task = asyncio.create_task(swallow())
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_who_is_asked_to_end_when_its_time_is_up_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_aware_timeout, "MAX_POLLS", 1)
    tasks = [asyncio.create_task(_wait()) for _ in range(20)]
    await asyncio.sleep(loop_aware_timeout.SLICE_SECONDS)
    busy(0.01)
    for task in tasks:
        task.cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(end) for end in ends} <= {asyncio.CancelledError, TimeoutError}


async def _wait() -> None:
    async with LoopAwareTimeout(60):
        await asyncio.Event().wait()


async def test_who_was_asked_to_end_before_may_still_clear_up() -> None:
    cleared = asyncio.Event()

    async def clear_up() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            async with LoopAwareTimeout(60):
                await asyncio.sleep(0)
            cleared.set()

    task = asyncio.create_task(clear_up())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleared.is_set()
