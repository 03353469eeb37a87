"""No task that runs behind the requests ends in silence."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from service.domain.errors import StateUnavailable
from service.usecases.background.detached_tasks import DetachedTasks
from service.usecases.background.supervisor import TASK_NAME_PREFIX, FatalReport, log_unhandled_errors, supervise
from service.usecases.generate.flight_names import CacheKey
from service.usecases.generate.single_flight import Flight
from service.usecases.money.settlement import Intervals, Settlement
from service.usecases.ports.events import Crashed
from tests.fakes.flights import FakeFlights
from tests.fakes.gateway import build_single_flight
from tests.fakes.ledger import FakeLedger
from tests.fakes.observer import Recorder
from tests.fakes.quota_store import FakeQuotaStore

Ends = Callable[[], Awaitable[None]]


async def raises() -> None:
    raise KeyError("a value that must not be logged")


async def returns() -> None:
    """It should have gone on."""


async def is_cancelled_from_inside() -> None:
    raise asyncio.CancelledError


async def fails_in_a_group() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(_raises())


async def _raises() -> None:
    await raises()


@pytest.mark.parametrize(
    ("task", "error", "place"),
    [
        (raises, "KeyError", "raises"),
        (returns, "TaskReturned", "_restart_forever"),
        (is_cancelled_from_inside, "CancelledError", "is_cancelled_from_inside"),
        (fails_in_a_group, "KeyError", "_raises"),
    ],
)
async def test_a_task_that_ends_is_logged_with_its_place_and_begins_again(task: Ends, error: str, place: str) -> None:
    begun, again, told, fatal = 0, asyncio.Event(), Recorder(), FatalReport()

    async def counted() -> None:
        nonlocal begun
        begun += 1
        if begun == 1:
            await task()
        else:
            again.set()
            await asyncio.sleep(3600)

    async with asyncio.timeout(10), supervise(told, fatal, {"books": counted}, restart_seconds=0):
        await again.wait()
    (crash,) = told.of(Crashed)
    assert (crash.request_id, crash.task, crash.error) == ("background", "books", error)
    assert any(line.endswith(f" {place}") for line in crash.trace), crash.trace
    assert "must not be logged" not in repr(crash)
    assert fatal.reason is None


async def test_a_task_that_cannot_begin_again_ends_the_process() -> None:
    told, fatal, over = Recorder(), FatalReport(), asyncio.Event()
    fatal.on_report(over.set)
    async with asyncio.timeout(10), supervise(told, fatal, {"books": returns_never, "readings": returns_never}):
        (task,) = (task for task in asyncio.all_tasks() if task.get_name() == f"{TASK_NAME_PREFIX}books")
        task.cancel()
        await over.wait()
    assert fatal.reason == "The background task books has ended, and cannot be started again."
    assert [crash.task for crash in told.of(Crashed)] == ["books"]


async def returns_never() -> None:
    await asyncio.sleep(3600)


async def test_the_end_of_the_block_is_no_crash() -> None:
    told, fatal = Recorder(), FatalReport()
    async with supervise(told, fatal, {"books": returns_never}):
        await asyncio.sleep(0)
    assert (told.events, fatal.reason) == ([], None)


def test_the_first_reason_counts_and_is_heard_once() -> None:
    heard: list[str] = []
    fatal = FatalReport()
    fatal.on_report(lambda: heard.append("once"))
    fatal.report("the store is gone")
    fatal.report("the metrics as well")
    assert (fatal.reason, heard) == ("the store is gone", ["once"])
    fatal.on_report(lambda: heard.append("late"))
    assert heard == ["once", "late"]


async def test_a_story_that_fails_after_its_caller_has_left_is_logged() -> None:
    told, gate, detached = Recorder(), asyncio.Event(), DetachedTasks()
    log_unhandled_errors(told)

    async def story(error: Exception) -> None:
        await gate.wait()
        raise error

    callers = [
        asyncio.create_task(detached.run(story(error))) for error in (KeyError("secret"), StateUnavailable("away"))
    ]
    await asyncio.sleep(0)
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    gate.set()
    for _ in range(5):
        await asyncio.sleep(0)
    await detached.close()
    (crash,) = told.of(Crashed)
    assert (crash.error, crash.task) == ("KeyError", "left by its caller")


async def test_a_caller_who_waits_is_told_and_the_log_is_not() -> None:
    told, detached = Recorder(), DetachedTasks()
    log_unhandled_errors(told)
    with pytest.raises(KeyError):
        await detached.run(raises())
    await asyncio.sleep(0)
    assert told.events == []


async def test_a_lease_whose_extension_fails_once_is_extended_again() -> None:
    observer, again = Recorder(), asyncio.Event()
    log_unhandled_errors(observer)

    class Failing(FakeFlights):
        async def extend(self, *_: object) -> None:
            if not observer.of(Crashed):
                raise KeyError
            again.set()

    async with (
        asyncio.timeout(10),
        build_single_flight(Failing(), lease_seconds=0).join(Flight(key=CacheKey("search", "fox"))),
    ):
        await again.wait()

    (crash,) = observer.of(Crashed)
    assert crash.error == "KeyError"


async def test_rounds_of_the_books_that_fail_begin_again() -> None:
    """All three rounds are one task: a mistake in one of them ends them together."""
    again, told = asyncio.Event(), Recorder()

    class Ledger(FakeQuotaStore):
        async def register_teams(self, teams: object) -> frozenset[str]:
            del teams
            if not told.of(Crashed):
                raise ZeroDivisionError
            again.set()
            return frozenset()

    pace = Intervals(sweep_seconds=0.001)
    keep = Settlement(quotas=Ledger(counted=True), ledger=FakeLedger(), observer=told, owner="me", intervals=pace)
    async with asyncio.timeout(10), supervise(told, FatalReport(), {"books": keep.run}, restart_seconds=0):
        await again.wait()
    (crash,) = told.of(Crashed)
    assert crash.error == "ZeroDivisionError"
    assert any(line.endswith(" sweep") for line in crash.trace), crash.trace


async def test_an_error_of_a_connection_goes_to_the_loops_own_handler(caplog: pytest.LogCaptureFixture) -> None:
    told = Recorder()
    log_unhandled_errors(told)
    asyncio.get_running_loop().call_exception_handler({"message": "the transport broke"})
    assert told.events == []
    assert "the transport broke" in caplog.text
