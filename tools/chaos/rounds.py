"""The rounds: each harms a site under load and compares calls with the ledger.

Rule: the vendor's record of calls is compared with the entries, call by call. Answers that callers got prove nothing.
"""

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx2

from service.domain.ledger import Basis, Entry
from tests.support.gateway_site import Reply, Site, ask, ask_all, await_true, site

BUDGET = 500_000_000
GATEWAYS = 4
BURST = 256
FREE = "{}"
AWAY = (503, "state_unavailable")
EXPECTED = {(200, None), (429, "insufficient_quota"), AWAY}


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """One round of a race for a budget: nano-USD posted by the burst, then by requests one at a time.

    `turned_away` counts answers that the store did not respond: on a machine without spare CPU it is late.
    """

    admitted: int
    turned_away: int
    posted: int
    used: int


def race(folder: Path, rounds: int, database_url: str | None = None) -> list[Budget]:
    """Send 64 requests at once to each of several gateways. The team has half a dollar; each round has a new team."""
    limits = f"{{usd_per_day: {BUDGET / 10**9}}}"
    with site(folder, database_url, teams=rounds, limits=limits) as place, ExitStack() as stack:
        gateways = [stack.enter_context(place.gateway()) for _ in range(GATEWAYS)]
        urls = [gateway.url for gateway in gateways]
        return [asyncio.run(_race(place, urls, team)) for team in place.teams]


async def _race(place: Site, urls: Sequence[str], team: str) -> Budget:
    answers = await ask_all(urls, team, [f"{team}-{number}" for number in range(BURST)], at_once=64 * len(urls))
    codes = Counter((answer.status, answer.code) for answer in answers)
    assert set(codes) <= EXPECTED, codes
    place.settle(team)
    posted = spent(await place.booked(team))
    for number in itertools.count():
        (answer,) = await ask_all([urls[number % len(urls)]], team, [f"{team}-more-{number}"])
        if answer.status == 429:
            break
    place.settle(team)
    return Budget(
        admitted=codes[200, None], turned_away=codes[AWAY], posted=posted, used=spent(await place.booked(team))
    )


WIPED_DELAY = 2.0
FIRST_HALF = 60  # of some 80 images that the budget allows


def wipe_under_load(folder: Path, rounds: int, database_url: str | None = None) -> list[Budget]:
    """Wipe the store while one of two gateways has most of a budget under way. The other gets a burst at once."""
    limits = f"{{usd_per_day: {BUDGET / 10**9}}}"
    with site(folder, database_url, teams=rounds, limits=limits, delay=WIPED_DELAY) as place, ExitStack() as stack:
        urls = [stack.enter_context(place.gateway()).url for _ in range(2)]
        return [asyncio.run(_wiped(place, urls, team)) for team in place.teams]


async def _wiped(place: Site, urls: Sequence[str], team: str) -> Budget:
    arrived = len(place.vendor.requests)
    first = asyncio.create_task(ask_all(urls[:1], team, [f"{team}-{number}" for number in range(FIRST_HALF)]))
    await asyncio.to_thread(await_true, lambda: len(place.vendor.requests) - arrived >= FIRST_HALF)
    await asyncio.to_thread(place.store.wipe)
    second = await ask_all(urls[1:], team, [f"{team}-more-{number}" for number in range(FIRST_HALF)])
    codes = Counter((answer.status, answer.code) for answer in (*await first, *second))
    assert set(codes) <= EXPECTED, codes
    place.settle(team)
    posted = spent(await place.booked(team))
    return Budget(admitted=codes[200, None], turned_away=codes[AWAY], posted=posted, used=posted)


def spent(entries: Sequence[Entry]) -> int:
    """Return the cost of entries in nano-USD."""
    return sum(entry.cost for entry in entries)


@dataclass(frozen=True, slots=True, kw_only=True)
class Toll:
    """Calls and entries of a run.

    `calls` reached the vendor, of which `unbooked` have no entry and `double` more than one. `uncalled` entries have no
    call, of which `sure` are not marked unconfirmed.
    """

    harm: int
    answered: int
    calls: int
    booked: int
    unconfirmed: int
    unbooked: int
    double: int
    uncalled: int
    sure: int

    @property
    def clean(self) -> bool:
        """Whether every call is booked once and every entry without a call is marked."""
        return not (self.unbooked or self.double or self.sure)


async def toll(place: Site, team: str, harm: int, answers: Sequence[Reply]) -> Toll:
    """Compare the vendor's record with the ledger after everything has settled."""
    place.settle(team)
    entries = await place.booked(team)
    booked = Counter(entry.request_id for entry in entries)
    called = Counter(str(request.fields["prompt"]) for request in place.vendor.requests)
    uncalled = [entry for entry in entries if entry.request_id not in called]
    return Toll(
        harm=harm,
        answered=sum(answer.status == 200 for answer in answers),
        calls=sum(called.values()),
        booked=len(entries),
        unconfirmed=sum(entry.basis is Basis.UNCONFIRMED for entry in entries),
        unbooked=len(called.keys() - booked.keys()),
        double=sum(count > 1 for count in booked.values()) + sum(count > 1 for count in called.values()),
        uncalled=len(uncalled),
        sure=sum(entry.basis is not Basis.UNCONFIRMED for entry in uncalled),
    )


Harm = Callable[[Site], None]


def kill_gateways(folder: Path, rounds: int, database_url: str | None = None) -> Toll:
    """Kill the only gateway at a random moment under load and start another, `rounds` times."""
    with site(folder, database_url, teams=1, limits=FREE, delay=0.02) as place:
        answers = asyncio.run(_kill_gateways(place, rounds))
        with place.gateway():
            return asyncio.run(toll(place, place.teams[0], rounds, answers))


async def _kill_gateways(place: Site, rounds: int) -> list[Reply]:
    moments, team, answers = random.Random(1), place.teams[0], []  # noqa: S311 (moments, not secrets)
    for number in range(rounds):
        gateway = await asyncio.to_thread(place.gateway().__enter__)
        names = [f"round-{number}-{index}" for index in range(200)]
        load = asyncio.create_task(ask_all([gateway.url], team, names, at_once=16))
        await asyncio.to_thread(place.vendor.await_requests, len(place.vendor.requests) + 1)
        await asyncio.sleep(moments.uniform(0.0, 0.3))
        gateway.signal(9)
        answers += await load
        await asyncio.to_thread(gateway.wait)
    return answers


def harm_parts(folder: Path, rounds: int, harm: Harm, database_url: str | None = None, requests: int = 300) -> Toll:
    """Put two gateways under a load of `requests` a round, and harm a part that they depend on."""
    with site(folder, database_url, teams=1, limits=FREE, delay=0.02) as place, ExitStack() as stack:
        urls = [stack.enter_context(place.gateway()).url for _ in range(2)]
        answers = asyncio.run(_under_load(place, urls, rounds, harm, requests))
        return asyncio.run(toll(place, place.teams[0], rounds, answers))


async def _under_load(place: Site, urls: Sequence[str], rounds: int, harm: Harm, requests: int) -> list[Reply]:
    answers: list[Reply] = []
    for number in range(rounds):
        names = [f"round-{number}-{index}" for index in range(requests)]
        seen = len(place.vendor.requests)
        load = asyncio.create_task(ask_all(urls, place.teams[0], names, at_once=16))
        await asyncio.to_thread(place.vendor.await_requests, seen + 30)
        await asyncio.to_thread(harm, place)
        answers += await load
    return answers


def waits(folder: Path, requests: int) -> list[float]:
    """Return milliseconds until a request gets 503 because the store hangs, and later because it is gone."""
    with site(folder, teams=1, limits=FREE) as place, place.gateway() as gateway:
        asyncio.run(_timed(place, gateway.url, 1, 200))
        with place.store.frozen():
            hanging = asyncio.run(_timed(place, gateway.url, requests, 503))
        place.store.kill()
        return sorted(hanging + asyncio.run(_timed(place, gateway.url, requests, 503)))


async def _timed(place: Site, url: str, requests: int, status: int) -> list[float]:
    times = []
    async with httpx2.AsyncClient(timeout=30, trust_env=False) as client:
        for number in range(requests):
            began = time.monotonic()
            answer = await ask(client, url, place.teams[0], f"wait-{number}")
            times.append((time.monotonic() - began) * 1000)
            assert answer.status == status, answer
    return times


def crash_store(place: Site) -> None:
    """Kill the store and start it again with what it wrote to disk."""
    place.store.kill()
    place.store.start()


def wipe_store(place: Site) -> None:
    """Delete everything in the store while it runs."""
    place.store.wipe()
