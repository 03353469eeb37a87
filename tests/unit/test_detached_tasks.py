"""What was begun goes on without its caller, until the replica goes away."""

import asyncio

import pytest

from service.usecases.background.detached_tasks import DetachedTasks


async def test_a_story_goes_on_when_its_caller_leaves() -> None:
    detached, gate, told = DetachedTasks(), asyncio.Event(), asyncio.Event()

    async def story() -> None:
        await gate.wait()
        told.set()

    waiting = asyncio.create_task(detached.run(story()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    gate.set()
    async with asyncio.timeout(10):
        await told.wait()
    await detached.close()


async def test_closing_ends_what_is_left() -> None:
    detached = DetachedTasks()
    story = detached.start(asyncio.sleep(3600))
    await detached.close()
    assert story.cancelled()
    await detached.close()
