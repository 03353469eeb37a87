"""A steady load in a storm: three gateways, and two vendors with moods and outages.

Rule: the load is bounded and ends by itself. The record of the vendors is compared with the ledger; of callers only the
answer and its time count. No vendor is paid twice for a request. No call that may be billed is missing in the ledger. A
caller gets 5xx for a call that may have been billed. Otherwise every vendor has refused it or had an outage.
"""

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from random import Random

import httpx2

from service.domain.ledger import Basis, Entry
from tests.support.gateway import with_slow_stores
from tests.support.gateway_site import LEASE_SECONDS, site
from tools.chaos.moods import BILLED, Mood, Moody, moody

GATEWAYS = 3
MAX_TRIES = 3  # as the SDKs do
MAX_AT_ONCE = 500
MAX_SECONDS = 60  # maximum that a caller waits
PATH = "/v1/images/generations"
ROUTE = "{ backend: %s, model: gpt-image-2, carries: gpt-image-2, formats: [png, jpeg, webp], price: gpt-image-2 }"
OTHER = """
  other:
    dialect: openai
    base_url: https://api.openai.com/v1
    api_key_env: OTHER_API_KEY
sandbox:
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """Strength of a storm: `rate` requests a second for `seconds`.

    In each `period` each vendor is `away` once, in turn.
    """

    rate: float
    seconds: float
    period: float
    away: float
    seed: int = 1


LONG = Weather(rate=50, seconds=600, period=80, away=10)
SHORT = Weather(rate=20, seconds=10, period=16, away=3)


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `key`: it has an Idempotency-Key. `counts`: it numbers its tries, as SDKs do.

    A caller in a `hurry` disconnects after that number of seconds and tries again. A caller that does not count tries
    once.
    """

    name: str
    key: bool
    counts: bool
    hurry: float | None


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer to one try.

    Status 0: there was no answer, and `code` has the reason; `ReadTimeout` is a caller in a hurry.
    """

    name: str
    status: int
    code: str
    billed: bool
    began: float
    ended: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Wake:
    """State after a storm.

    `calls` are the vendors' actions. Of the `entries`, some are `unconfirmed`, and `uncalled` have no call. `doubled`
    requests were called or booked twice, `lost` ones have no entry. `sure` ones have no call, and their entries do not
    say so. A 5xx for a call that was certainly not billed is `avoidable` if a vendor was well and had not refused it.
    It is `unlucky` if all vendors that were well had refused it.
    """

    requests: int
    answers: Sequence[Answer]
    calls: Counter[Mood]
    entries: int
    unconfirmed: int
    uncalled: int
    doubled: Sequence[str]
    lost: Sequence[str]
    sure: Sequence[str]
    avoidable: Sequence[str]
    unlucky: Sequence[str]

    @property
    def clean(self) -> bool:
        """Whether the storm broke no rule."""
        return not (self.doubled or self.lost or self.sure or self.avoidable)


def storm(folder: Path, weather: Weather) -> Wake:
    """Run a storm and return the state after it."""
    return asyncio.run(_storm(folder, weather))


async def _storm(folder: Path, weather: Weather) -> Wake:
    async with AsyncExitStack() as stack:
        place = stack.enter_context(site(folder, teams=1, limits="{}"))
        _two_accounts(folder / "config")
        vendors = [await stack.enter_async_context(moody(weather.seed + number)) for number in range(2)]
        environment = {
            "OPENAI_BASE_URL": vendors[0].base_url,
            "OTHER_BASE_URL": vendors[1].base_url,
            "OTHER_API_KEY": "sk-other",
        }
        urls = [stack.enter_context(place.gateway(**environment)).url for _ in range(GATEWAYS)]
        outages = asyncio.create_task(_outages(vendors, weather))
        answers = await _load(urls, place.teams[0], weather)
        await outages
        await asyncio.to_thread(place.settle, place.teams[0])
        entries = [entry for entry in await place.booked(place.teams[0]) if entry.basis is not Basis.CACHE]
        return _wake(answers, vendors, entries)


def _two_accounts(folder: Path) -> None:
    """Give the vendor two accounts, which the gateway chooses by weight."""
    models, settings = folder / "models.yaml", folder / "gateway.yaml"
    routes = f"    routes:\n      - {ROUTE % 'openai'}\n"
    assert models.read_text().count(routes) == 1
    models.write_text(models.read_text().replace(routes, f"    policy: weighted\n{routes}      - {ROUTE % 'other'}\n"))
    text = with_slow_stores(settings.read_text()).replace("\nsandbox:\n", OTHER)
    # No gateway is killed here, so no lease has to end soon.
    settings.write_text(text.replace(f"lease_seconds: {LEASE_SECONDS}", "lease_seconds: 60"))


async def _outages(vendors: Sequence[Moody], weather: Weather) -> None:
    """Cause outages, one vendor at a time with a pause before each. Every second outage refuses connections."""
    interval, end = weather.period / len(vendors), time.monotonic() + weather.seconds
    for number, vendor in enumerate(cycle(vendors)):
        if time.monotonic() + interval > end:
            return
        await asyncio.sleep(interval - weather.away)
        await vendor.be_away(weather.away, refusing=(number + number // len(vendors)) % 2 == 0)


async def _load(urls: Sequence[str], team: str, weather: Weather) -> list[Answer]:
    """Send requests at a steady rate, independently of the answers, and wait for the last answer."""
    gate = asyncio.Semaphore(MAX_AT_ONCE)
    limits = httpx2.Limits(max_connections=MAX_AT_ONCE, max_keepalive_connections=MAX_AT_ONCE)
    requests = _requests(weather)
    began, tasks = time.monotonic(), []
    async with httpx2.AsyncClient(timeout=MAX_SECONDS, limits=limits, trust_env=False) as client:
        for number, request in enumerate(requests):
            await asyncio.sleep(began + number / weather.rate - time.monotonic())
            await gate.acquire()
            task = asyncio.create_task(_send_with_retries(client, urls, number, team, request))
            task.add_done_callback(lambda _: gate.release())
            tasks.append(task)
        return [answer for tries in await asyncio.gather(*tasks) for answer in tries]


Reply = httpx2.Response | httpx2.TransportError


def _requests(weather: Weather) -> list[Request]:
    chance = Random(weather.seed)  # noqa: S311 (a load, not secrets)
    return [
        Request(
            name=f"request-{number}",
            key=chance.random() < 0.3,
            counts=(counts := chance.random() < 0.5),
            hurry=chance.uniform(0.05, 1.5) if counts and chance.random() < 0.2 else None,
        )
        for number in range(round(weather.rate * weather.seconds))
    ]


async def _send_with_retries(
    client: httpx2.AsyncClient, urls: Sequence[str], at: int, team: str, request: Request
) -> list[Answer]:
    """Send a request, and again where an SDK would, every try to another gateway."""
    answers: list[Answer] = []
    for tried in range(MAX_TRIES if request.counts else 1):
        began = time.monotonic()
        reply = await _send(client, urls[(at + tried) % len(urls)], team, request, tried)
        answers.append(_to_answer(request.name, reply, began))
        if isinstance(reply, httpx2.Response) and reply.headers.get("x-should-retry") != "true":
            break
        await asyncio.sleep(_pause(reply))
    return answers


def _pause(reply: Reply) -> float:
    """Return the seconds until the next try."""
    return float(reply.headers.get("retry-after", "0.5")) if isinstance(reply, httpx2.Response) else 0.1


async def _send(client: httpx2.AsyncClient, url: str, team: str, request: Request, tried: int) -> Reply:
    headers = {"authorization": f"Bearer igw_{team}", "x-request-id": request.name}
    headers |= {"idempotency-key": request.name} if request.key else {}
    headers |= {"x-stainless-retry-count": str(tried)} if request.counts else {}
    body = {"model": "gpt-image-2", "prompt": request.name, "quality": "low", "size": "1024x1024"}
    timeout = request.hurry if request.hurry and tried == 0 else MAX_SECONDS
    try:
        return await client.post(url + PATH, json=body, headers=headers, timeout=timeout)
    except httpx2.TransportError as error:
        return error


def _to_answer(name: str, reply: Reply, began: float) -> Answer:
    ended = time.monotonic()
    if isinstance(reply, httpx2.TransportError):
        return Answer(name, 0, type(reply).__name__, billed=False, began=began, ended=ended)
    error = {} if reply.is_success else reply.json()["error"]
    return Answer(name, reply.status_code, error.get("code") or "", error.get("may_be_billed", False), began, ended)


def _wake(answers: Sequence[Answer], vendors: Sequence[Moody], entries: Sequence[Entry]) -> Wake:
    calls = [call for vendor in vendors for call in vendor.calls]
    billed_calls = Counter(call.name for call in calls if call.mood in BILLED)
    booked = Counter(entry.request_id for entry in entries)
    uncalled = [entry for entry in entries if entry.request_id not in billed_calls]
    moods = Counter(call.mood for call in calls)
    unread = moods[Mood.TEARS] - sum(entry.basis is Basis.UNCONFIRMED for entry in uncalled)
    doubled = {name for counted in (billed_calls, booked) for name, count in counted.items() if count > 1}
    failed = [answer for answer in answers if answer.status >= 500 and not answer.billed]
    return Wake(
        requests=len({answer.name for answer in answers}),
        answers=answers,
        calls=moods,
        entries=len(entries),
        unconfirmed=sum(entry.basis is Basis.UNCONFIRMED for entry in entries),
        uncalled=len(uncalled),
        doubled=[_twice(name, vendors, entries) for name in sorted(doubled)],
        lost=sorted(billed_calls.keys() - booked.keys()) + ["unread"] * unread,
        sure=sorted(entry.request_id for entry in uncalled if entry.basis is not Basis.UNCONFIRMED),
        avoidable=[_describe(answer, vendors) for answer in failed if _is_avoidable(answer, vendors)],
        unlucky=[_describe(answer, vendors) for answer in failed if not _is_avoidable(answer, vendors)],
    )


def _twice(name: str, vendors: Sequence[Moody], entries: Sequence[Entry]) -> str:
    booked = [f"{entry.backend}: {entry.basis}" for entry in entries if entry.request_id == name]
    return f"{name} called ({_calls(name, vendors)}), booked ({', '.join(booked)})"


def _is_avoidable(answer: Answer, vendors: Sequence[Moody]) -> bool:
    """Return whether a vendor was well all the time and had not refused the request itself."""
    well = [vendor for vendor in vendors if vendor.was_well(answer.began, answer.ended)]
    return any(not vendor.has_refused(answer.name, answer.began, answer.ended) for vendor in well)


def _describe(answer: Answer, vendors: Sequence[Moody]) -> str:
    seconds = answer.ended - answer.began
    return f"{answer.name} {answer.status} {answer.code} after {seconds:.1f} s ({_calls(answer.name, vendors)})"


def _calls(name: str, vendors: Sequence[Moody]) -> str:
    """Return the calls that vendors got for a request, by all its tries."""
    calls = [
        f"{place}: {call.mood}" for place, vendor in enumerate(vendors) for call in vendor.calls if call.name == name
    ]
    return ", ".join(calls) or "no call"


def quantiles(wake: Wake) -> tuple[float, float]:
    """Return the median and the 99th percentile of the seconds until an answer."""
    cuts = statistics.quantiles((answer.ended - answer.began for answer in wake.answers if answer.status), n=100)
    return cuts[49], cuts[98]
