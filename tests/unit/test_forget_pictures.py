"""Pictures that were kept long enough go; everything else stays."""

import asyncio
from datetime import timedelta

from service.domain.kept import name_of, new_id
from service.usecases.events import PicturesForgotten, StoreFailed
from service.usecases.forget_pictures import ForgetPictures
from tests.fakes.observer import Recorder
from tests.fakes.pictures import NOON, FakePictures

OLD, NEW = (name_of(new_id("search", "png", digit * 32)) for digit in "01")


class Stage:
    """A store with an old picture, a new one and something else, and a clock."""

    def __init__(self) -> None:
        self.store, self.observe, self.now = FakePictures(), Recorder(), NOON
        self.forget = ForgetPictures(
            store=self.store, observe=self.observe, now=lambda: self.now, keep_seconds=3600, sweep_seconds=0.001
        )

    async def fill(self) -> None:
        self.store.now = NOON - timedelta(hours=1)
        await self.store.keep(OLD, b"old")
        await self.store.keep("notes.txt", b"not ours")
        self.store.now = NOON
        await self.store.keep(NEW, b"new")


async def test_what_is_old_goes_and_what_is_new_or_not_ours_stays() -> None:
    stage = Stage()
    await stage.fill()

    await stage.forget.sweep()
    await stage.forget.sweep()

    assert set(stage.store.kept) == {NEW, "notes.txt"}
    assert stage.observe.events == [PicturesForgotten(count=1)]


async def test_what_is_new_grows_old() -> None:
    stage = Stage()
    await stage.fill()

    stage.now += timedelta(hours=1)
    await stage.forget.sweep()

    assert set(stage.store.kept) == {"notes.txt"}
    assert stage.observe.events == [PicturesForgotten(count=2)]


async def test_a_store_that_is_away_is_asked_again() -> None:
    stage = Stage()
    await stage.fill()
    stage.store.down = True
    await stage.forget.sweep()
    stage.store.down = False
    assert OLD in stage.store.kept

    running = asyncio.create_task(stage.forget.run())
    await asyncio.wait([running], timeout=0.01)
    running.cancel()

    failed = StoreFailed(request_id="background", reason="The picture store does not answer.")
    assert stage.observe.events == [failed, PicturesForgotten(count=1)]
