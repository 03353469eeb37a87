"""Servers of money that may drop or refuse it: told once, with what to set, and again when it comes back."""

import asyncio
from collections.abc import Sequence

import pytest

from service.usecases.background.eviction_warning import EvictionWarning, find_risks, fullest
from service.usecases.ports.events import StoreUnsafe
from service.usecases.ports.monitored_store import ServerMemory
from tests.fakes.monitored_store import FakeMonitoredStore
from tests.fakes.observer import Recorder

MEGABYTES = 64_000_000
SAFE = ServerMemory(max_bytes=MEGABYTES, policy="noeviction")
EVICTS = ServerMemory(max_bytes=MEGABYTES, policy="allkeys-lru")
BOUNDLESS = ServerMemory(max_bytes=0, policy="allkeys-lru")


def told(*servers: ServerMemory, shared: bool = False) -> list[tuple[str, str]]:
    """The beginning of each problem, and what to set."""
    return [(each.problem.split(":")[0], each.advice) for each in find_risks(servers, shared=shared)]


SET_POLICY = "set maxmemory-policy noeviction"
SET_URL = "set CACHE_REDIS_URL to a server of its own"
CROWDED = ("results are kept there too and its memory is bounded", SET_URL)


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-random", "volatile-lru", "volatile-ttl", "yet-another"])
def test_a_bounded_server_that_evicts_is_unsafe(policy: str) -> None:
    assert told(ServerMemory(max_bytes=1, policy=policy)) == [(f"maxmemory-policy {policy}", SET_POLICY)]


def test_it_is_said_what_is_dropped() -> None:
    (anything,) = find_risks([EVICTS], shared=False)
    (some,) = find_risks([ServerMemory(max_bytes=1, policy="volatile-lfu")], shared=False)

    assert "drops anything" in anything.problem
    assert "drops flights and ended holds" in some.problem
    assert {anything.store, some.store} == {"REDIS_URL"}


@pytest.mark.parametrize("servers", [[SAFE], [BOUNDLESS], [SAFE, BOUNDLESS], []])
def test_a_server_that_evicts_nothing_is_safe(servers: list[ServerMemory]) -> None:
    assert told(*servers) == []


def test_results_beside_money_matter_under_a_bound() -> None:
    assert told(SAFE, shared=True) == [CROWDED]
    assert told(EVICTS, shared=True) == [("maxmemory-policy allkeys-lru", SET_POLICY), CROWDED]
    assert told(BOUNDLESS, shared=True) == []


FILLED = ("85% or more of its memory is used", "give it more memory")


@pytest.mark.parametrize(("used", "found"), [(0.84, []), (0.85, [FILLED]), (1.2, [FILLED])])
def test_a_server_that_is_nearly_full_is_told(used: float, found: list[tuple[str, str]]) -> None:
    nearly = ServerMemory(max_bytes=1000, policy="noeviction", used_bytes=round(1000 * used))
    assert told(SAFE, nearly) == found


def test_the_fullest_bounded_server_counts() -> None:
    half = ServerMemory(max_bytes=1000, policy="noeviction", used_bytes=500)
    boundless = ServerMemory(max_bytes=0, policy="noeviction", used_bytes=10**9)
    assert fullest([half, SAFE, boundless]) == 0.5
    assert fullest([boundless]) is None


def test_of_a_cluster_any_server_counts_and_each_thing_is_said_once() -> None:
    assert told(SAFE, EVICTS, EVICTS) == [("maxmemory-policy allkeys-lru", SET_POLICY)]


class Watch:
    """The use case, and what the servers say at each look."""

    def __init__(self, *looks: Sequence[ServerMemory]) -> None:
        self.observer = Recorder()
        store = FakeMonitoredStore(memories=looks)
        self.warn = EvictionWarning(
            quota_store=store, has_results=False, observer=self.observer, interval_seconds=0.001
        )

    async def look(self) -> int:
        """How many lines there are after another look."""
        await self.warn.check()
        return len(self.observer.of(StoreUnsafe))


async def test_what_stays_wrong_is_told_once_and_again_when_it_comes_back() -> None:
    looks: list[Sequence[ServerMemory]] = [[], [EVICTS], [EVICTS], [], [EVICTS], [SAFE], [EVICTS]]
    watch = Watch(*looks)

    assert [await watch.look() for _ in looks] == [0, 1, 1, 1, 1, 1, 2]


async def test_it_goes_on_until_it_is_cancelled() -> None:
    recorder = Recorder(StoreUnsafe)
    store = FakeMonitoredStore(memories=[[], [EVICTS]])

    running = asyncio.create_task(
        EvictionWarning(quota_store=store, has_results=False, observer=recorder, interval_seconds=0.001).run()
    )
    await asyncio.wait_for(recorder.recorded.wait(), 10)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
