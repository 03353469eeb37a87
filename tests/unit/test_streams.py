"""A story that is watched: previews one at a time, a word now and then, and nobody who leaves holds anything up."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from service.api.streams import Watched, completed, preview
from service.domain.errors import LimitExceeded, StateUnavailable
from service.domain.limits import Limit, Measure, Standing
from service.domain.outcomes import Partial, Usage
from service.usecases.buy_pictures import Wish
from service.usecases.make_images import nobody
from service.usecases.ports import Show
from service.usecases.share import Share, bought
from tests.fakes.builders import caller, model, purchase, result, spec

FULL = LimitExceeded("No.", Standing(limit=Limit("team", Measure.DAY, 1), used=1, resets_in=1))
SHARE = bought(result(), Wish(spec=spec(), model=model(), caller=caller(), admitted=nobody))
Depart = Callable[[], Awaitable[None]]


def partial(index: int) -> Partial:
    return Partial(base64=b"Zm94", index=index)


async def heard(watched: Watched) -> list[int | None]:
    return [moment.index if moment else None async for moment in watched.moments()]


async def test_previews_come_in_order_and_the_share_last() -> None:
    async def story(show: Show, depart: Depart) -> Share:
        await depart()
        for index in range(3):
            await show(partial(index))
        return SHARE

    watched = Watched(story, 10)
    assert await heard(watched) == [0, 1, 2]
    assert watched.share.result() is SHARE


async def test_whoever_waits_hears_something() -> None:
    gate = asyncio.Event()

    async def story(show: Show, depart: Depart) -> Share:
        del show, depart
        await gate.wait()
        return SHARE

    watched, words = Watched(story, 0.001), 0
    async for moment in watched.moments():
        assert moment is None
        words += 1
        if words == 3:
            gate.set()
    assert words >= 3


async def test_it_has_begun_when_the_vendor_is_asked() -> None:
    gate = asyncio.Event()

    async def story(show: Show, depart: Depart) -> Share:
        del show
        await depart()
        await gate.wait()
        return SHARE

    watched = Watched(story, 60)
    await watched.begun()
    assert not watched.share.done()
    gate.set()
    assert await watched.share is SHARE


@pytest.mark.parametrize("error", [FULL, StateUnavailable("Away.")])
async def test_what_is_refused_before_has_not_begun(error: Exception) -> None:
    async def story(*_: object) -> Share:
        raise error

    watched = Watched(story, 60)
    await watched.begun()
    assert watched.share.exception() is error


async def test_a_preview_does_not_wait_for_a_caller_who_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.api.streams.SLOW_SECONDS", 3600)
    shown: list[int] = []

    async def purchase_of_its_own(show: Show) -> None:
        for index in range(5):
            await show(partial(index))
            shown.append(index)

    buying: list[asyncio.Task[None]] = []

    async def story(show: Show, depart: Depart) -> Share:
        del depart
        buying.append(asyncio.create_task(purchase_of_its_own(show)))
        await asyncio.shield(buying[0])
        return SHARE

    watched = Watched(story, 60)
    moments = watched.moments()
    assert await anext(moments) == partial(0)
    watched.leave()
    await moments.aclose()
    async with asyncio.timeout(30):
        await buying[0]
    assert shown == [0, 1, 2, 3, 4]
    with pytest.raises(asyncio.CancelledError):
        await watched.share


async def test_however_many_previews_wait_for_a_caller_who_left_all_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.api.streams.SLOW_SECONDS", 3600)
    waiting: list[asyncio.Future[None]] = []
    first = asyncio.Event()

    async def story(show: Show, depart: Depart) -> Share:
        del depart
        await show(partial(0))
        waiting.extend(asyncio.ensure_future(show(partial(index))) for index in range(1, 4))
        first.set()
        await asyncio.Event().wait()
        return SHARE

    watched = Watched(story, 60)
    await first.wait()
    await asyncio.sleep(0)
    watched.leave()

    async with asyncio.timeout(30):
        await asyncio.gather(*waiting)
    with pytest.raises(asyncio.CancelledError):
        await watched.share


async def test_a_reader_who_is_too_slow_misses_previews(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.api.streams.SLOW_SECONDS", 0.001)

    async def story(show: Show, depart: Depart) -> Share:
        del depart
        for index in range(5):
            await show(partial(index))
        return SHARE

    watched = Watched(story, 60)
    await watched.share
    assert await heard(watched) == [0]


def test_what_a_vendor_left_unsaid_is_auto() -> None:
    event = b"".join(preview("image_edit", partial(1), 1_800_000_000))
    assert event == (
        b'event: image_edit.partial_image\ndata: {"type":"image_edit.partial_image","b64_json":"Zm94",'
        b'"created_at":1800000000,"size":"auto","quality":"auto","background":"auto","output_format":"png",'
        b'"partial_image_index":1}\n\n'
    )


def test_tokens_stand_with_the_last_picture() -> None:
    two = result(purchase=purchase("Zm94", "b3ds", usage=Usage(text_in=7, image_out=200)), ids=("img_1", "img_2"))
    share = bought(two, Wish(spec=spec(n=2), model=model(), caller=caller(), admitted=nobody))
    first, last = (b"".join(completed("image_generation", share, index)) for index in range(2))
    assert (b'"total_tokens":0' in first, b'"total_tokens":207' in last) == (True, True)
    assert (b'"id":"img_1"' in first, b'"index":1' in last) == (True, True)
    without = bought(result(), Wish(spec=spec(), model=model(), caller=caller(), admitted=nobody))
    assert b'"total_tokens":0' in b"".join(completed("image_generation", without, 0))


def test_a_preview_is_of_its_own_time_where_it_has_one() -> None:
    told = b"".join(preview("image_edit", replace(partial(1), created=1_700_000_000), 1_800_000_000))
    assert b'"created_at":1700000000,' in told
