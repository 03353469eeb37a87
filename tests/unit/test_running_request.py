"""A running request: previews in order, signs of life, and a purchase that goes on when the caller leaves."""

import asyncio
from collections.abc import Awaitable
from dataclasses import replace

import pytest

from service.api.http.errors import ReplicaStopped
from service.api.http.request_context import RequestContext, RequestProgress
from service.api.http.running_request import RunningRequest
from service.api.schemas.image_events import image_event, preview_event
from service.domain.errors import LimitExceeded, StateUnavailable
from service.domain.generation import Preview, Usage
from service.domain.ledger import Admission
from service.domain.quota_limits import Limit, LimitStatus, Measure
from service.usecases.generate.delivery import Delivery, build_delivery
from tests.fakes.builders import build_generation, image_request, result, spec

TEAM_DAY = LimitStatus(limit=Limit("team", Measure.DAY, 5), used=1, resets_in=1)
PER_MINUTE = LimitStatus(limit=Limit("team", Measure.REQUESTS, 5), used=1, resets_in=1)
FULL = LimitExceeded("No.", TEAM_DAY)
DELIVERY = build_delivery(result(), image_request())


def partial(index: int) -> Preview:
    return Preview(base64=b"Zm94", index=index)


def waiting(seconds: float = 60) -> RunningRequest:
    """Build a running request that is not started."""
    return RunningRequest(RequestContext("req_1", 0.0, lambda: 0.0), seconds)


def started(making: Awaitable[Delivery], running: RunningRequest) -> RunningRequest:
    running.start(making)
    return running


async def indices(running: RunningRequest) -> list[int | None]:
    seen: list[int | None] = []
    while (preview := await running.next_preview()) or not running.delivery.done():
        seen.append(preview.index if preview else None)
    return seen


async def send_previews(running: RunningRequest, number: int) -> Delivery:
    for index in range(number):
        await running.on_preview(partial(index))
    return DELIVERY


async def test_previews_come_in_order_and_the_delivery_last() -> None:
    running = waiting()
    running.start(send_previews(running, 3))

    assert await indices(running) == [0, 1, 2]
    assert running.delivery.result() is DELIVERY


async def test_a_caller_that_waits_is_sent_signs_of_life() -> None:
    gate = asyncio.Event()

    async def make() -> Delivery:
        await gate.wait()
        return DELIVERY

    running = started(make(), waiting(0.001))
    for _ in range(3):
        assert await running.next_preview() is None
        assert not running.delivery.done()
    gate.set()

    assert await running.delivery is DELIVERY


async def test_a_response_starts_when_the_backend_is_called() -> None:
    gate, running = asyncio.Event(), waiting()

    async def make() -> Delivery:
        running.on_sent()
        await gate.wait()
        return DELIVERY

    running.start(make())
    await running.sent_or_done()

    assert not running.delivery.done()
    gate.set()
    assert await running.delivery is DELIVERY


@pytest.mark.parametrize("error", [FULL, StateUnavailable("Away.")])
async def test_a_failure_before_the_first_byte_is_the_result(error: Exception) -> None:
    async def make() -> Delivery:
        raise error

    running = started(make(), waiting())
    await running.sent_or_done()

    assert running.delivery.exception() is error


async def test_limits_are_put_into_the_headers_and_progress_is_recorded() -> None:
    context = RequestContext("req_1", 0.0, lambda: 0.0)
    running = RunningRequest(context, 60)

    running.on_admitted(Admission(held_at=1, limit_status=(PER_MINUTE,)))
    steps = [context.progress]
    running.on_sent()
    steps.append(context.progress)

    assert steps == [RequestProgress.ADMITTED, RequestProgress.SENT]
    assert context.headers["x-ratelimit-remaining-requests"] == "4"


async def test_a_preview_does_not_wait_for_a_caller_that_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.api.http.running_request.PREVIEW_WAIT_SECONDS", 3600)
    running = waiting()
    purchases = [asyncio.create_task(send_previews(running, 5))]
    running.start(asyncio.shield(purchases[0]))

    assert await running.next_preview() == partial(0)
    running.leave()
    async with asyncio.timeout(30):
        assert await purchases[0] is DELIVERY

    with pytest.raises(asyncio.CancelledError):
        await running.delivery


async def test_all_previews_that_wait_for_a_caller_that_left_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.api.http.running_request.PREVIEW_WAIT_SECONDS", 3600)
    running, first = waiting(), asyncio.Event()
    previews: list[asyncio.Future[None]] = []

    async def make() -> Delivery:
        await running.on_preview(partial(0))
        previews.extend(asyncio.ensure_future(running.on_preview(partial(index))) for index in range(1, 4))
        first.set()
        await asyncio.Event().wait()
        return DELIVERY

    running.start(make())
    await first.wait()
    await asyncio.sleep(0)
    running.leave()

    async with asyncio.timeout(30):
        await asyncio.gather(*previews)
    with pytest.raises(asyncio.CancelledError):
        await running.delivery


async def test_a_slow_reader_misses_previews(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.api.http.running_request.PREVIEW_WAIT_SECONDS", 0.001)
    running = waiting()
    running.start(send_previews(running, 5))

    await running.delivery

    assert await indices(running) == [0]


async def test_a_caller_gets_an_error_when_the_replica_stops() -> None:
    async def make() -> Delivery:
        await asyncio.Event().wait()
        return DELIVERY

    running = started(make(), waiting())
    await asyncio.sleep(0)
    running.stop()

    with pytest.raises(ReplicaStopped):
        await running.delivery


def test_values_that_a_vendor_does_not_send_are_auto() -> None:
    event = b"".join(preview_event("image_edit", partial(1), 1_800_000_000))

    assert event == (
        b'event: image_edit.partial_image\ndata: {"type":"image_edit.partial_image","b64_json":"Zm94",'
        b'"created_at":1800000000,"size":"auto","quality":"auto","background":"auto","output_format":"png",'
        b'"partial_image_index":1}\n\n'
    )


def test_tokens_stand_with_the_last_image() -> None:
    two = result(
        generation=build_generation("Zm94", "b3ds", usage=Usage(text_in=7, image_out=200)), ids=("img_1", "img_2")
    )
    delivery = build_delivery(two, image_request(spec(n=2)))

    first, last = (b"".join(image_event("image_generation", delivery, index)) for index in range(2))

    assert (b'"total_tokens":0' in first, b'"total_tokens":207' in last) == (True, True)
    assert (b'"id":"img_1"' in first, b'"index":1' in last) == (True, True)
    assert b'"total_tokens":0' in b"".join(image_event("image_generation", DELIVERY, 0))


def test_a_preview_has_its_own_time_if_the_vendor_sends_one() -> None:
    event = b"".join(preview_event("image_edit", replace(partial(1), created=1_700_000_000), 1_800_000_000))

    assert b'"created_at":1700000000,' in event
