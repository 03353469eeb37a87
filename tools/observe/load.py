"""Requests as a company sends them, and everything that can go wrong with them, for a bounded time.

Rule: a lot is drawn by a seeded generator, so that two runs ask the same; pauses are waits for the clock that end with
the load. Whatever a request comes to is an answer: the load counts, and judges nothing.
"""

import asyncio
import random
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import httpx2

from tests.simulators import openai, together
from tests.simulators.server import Answer
from tools.observe.site import Site, teams_file

GENERATE, EDIT = "/v1/images/generations", "/v1/images/edits"
PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEUlEQVR4nGP4z8CAFWEXHbQSACj/P8Fu7N9hAAAAAElFTkSuQmCC"
QUIET_SECONDS = 30
MOST_DEATHS = 4
EXPIRED = re.compile(r'^gateway_holds_total\{end="expired_booked"\} [1-9]', re.MULTILINE)
EXHAUSTED = re.compile(r"^gateway_upstream_exhausted\{.*\} 1", re.MULTILINE)
MOST_REFUSALS = 6
SCRAPED_SECONDS = 2  # until a Prometheus has looked again
EXPIRED_SECONDS = 5  # a hold's lease, and the sweeper's pause
Draw = random.Random

WEIGHTS: Mapping[str, float] = {"search": 5, "ads": 2, "mobile": 2, "studio": 2, "labs": 1}
MODELS: Mapping[str, float] = {
    "gpt-image-2": 6,
    "gpt-image-2.5-flare": 3,
    "gpt-image-1.5": 1,
    "gpt-image-1-mini": 1,
    "black-forest-labs/FLUX.2-pro": 3,
    "google/flash-image-2.5": 1,
}
TIERED = frozenset({"gpt-image-2", "gpt-image-2.5-flare", "gpt-image-1.5", "gpt-image-1-mini"})
TIERS: Mapping[str, float] = {"low": 6, "medium": 3, "high": 1}
SIZES: Mapping[str, float] = {"1024x1024": 6, "1536x1024": 2, "1024x1536": 1}


def lot(draw: Draw, weights: Mapping[str, float]) -> str:
    """One of them, by weight."""
    return draw.choices([*weights], [*weights.values()])[0]


class Load:
    """So many callers at once, on a site, for so many seconds."""

    def __init__(self, place: Site, seconds: float, callers: int = 6, seed: int = 7) -> None:
        self._place = place
        self._until = time.monotonic() + seconds
        self._callers = callers
        self._draw = random.Random(seed)  # noqa: S311 (a demonstration, not a secret)
        self._over = asyncio.Event()
        self.answers: Counter[int] = Counter()

    def stop(self) -> None:
        """End early."""
        self._over.set()

    async def run(self, events: Callable[["Load"], Awaitable[None]]) -> None:
        """Everybody asks; `events` happen meanwhile, once or in a circle."""
        async with httpx2.AsyncClient(timeout=30, trust_env=False) as self._client, asyncio.TaskGroup() as group:
            group.create_task(self._end())
            happening = group.create_task(self._happen(events))
            for _ in range(self._callers):
                group.create_task(self._caller())
            await self._over.wait()
            happening.cancel()

    async def _happen(self, events: Callable[["Load"], Awaitable[None]]) -> None:
        """Ctrl-C in a terminal goes to everybody: once the load is over, what it talks to may have gone first."""
        try:
            await events(self)
        except (httpx2.HTTPError, TimeoutError):
            if not self._over.is_set():
                raise

    async def _end(self) -> None:
        await self.pause(self._until - time.monotonic())
        self._over.set()

    async def pause(self, seconds: float) -> None:
        """Wait, at most until the load ends."""
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._over.wait()
        except TimeoutError:
            return

    async def _caller(self) -> None:
        """One who asks, looks at it, and asks again."""
        while not self._over.is_set():
            await lot_of(self._draw)(self)
            await self.pause(self._draw.uniform(0.05, 0.35))

    async def post(self, team: str, wish: Mapping[str, Any], path: str = GENERATE, **headers: str) -> None:
        """One request. A replica that is going away answers nothing, which counts as 0."""
        given = {"authorization": f"Bearer igw_{team}"}
        given |= {name.replace("_", "-"): text for name, text in headers.items()}
        url = self._draw.choice(self._place.urls)
        try:
            reply = await self._client.post(url + path, json=wish, headers=given)
        except httpx2.TransportError:
            self.answers[0] += 1
            return
        self.answers[reply.status_code] += 1

    async def has_told(self, series: re.Pattern[str]) -> bool:
        """Does a replica tell of such a series?"""
        pages = [await self._client.get(f"http://{metrics}/metrics") for metrics in [*self._place.replicas]]
        return any(series.search(page.text) for page in pages)

    def wish(self, **changes: Any) -> dict[str, Any]:
        """A picture that somebody may have asked for before."""
        model = lot(self._draw, MODELS)
        tier = {"quality": lot(self._draw, TIERS)} if model in TIERED else {}
        prompt = f"a red fox, {self._draw.randrange(60)}"
        return {"model": model, "prompt": prompt, "size": lot(self._draw, SIZES), **tier, **changes}

    async def ask(self) -> None:
        """An ordinary request."""
        await self.post(lot(self._draw, WEIGHTS), self.wish())

    async def ask_together(self) -> None:
        """Several want the very same at once, on all replicas."""
        wish = self.wish(prompt=f"everybody wants this, {self._draw.random()}")
        await asyncio.gather(*(self.post("search", wish) for _ in range(4)))

    async def ask_again(self) -> None:
        """A caller who comes twice with the same key."""
        key = f"order-{self._draw.randrange(10**9)}"
        wish = self.wish(model="gpt-image-2", quality="low")
        for _ in range(2):
            await self.post("search", wish, idempotency_key=key)

    async def ask_anew(self) -> None:
        """One who wants a new picture every time."""
        await self.post(lot(self._draw, WEIGHTS), self.wish(), cache_control="no-store")

    async def stream(self) -> None:
        """One who wants to see it grow."""
        wish = self.wish(model="gpt-image-2", quality="low", prompt=f"grow, {self._draw.random()}")
        await self.post("search", wish | {"stream": True, "partial_images": 2})

    async def edit(self) -> None:
        """An edit of a picture that is sent along."""
        link = f"data:image/png;base64,{PICTURE}"
        wish = {"model": "gpt-image-2", "prompt": f"at night, {self._draw.random()}", "quality": "low"}
        await self.post("studio", wish | {"images": [{"image_url": link}]}, EDIT)

    async def err(self) -> None:
        """Mistakes: a size, a model and a key that there are not."""
        await self.post("search", self.wish(size="7x7"))
        await self.post("search", self.wish(model=f"junk-{self._draw.random()}"))
        await self.post("nobody", self.wish())

    async def want_the_best(self) -> None:
        """More pictures of the best quality than the team may have in a minute."""
        wish = self.wish(model="gpt-image-2", quality="high", prompt=f"the best, {self._draw.random()}", n=4)
        await asyncio.gather(*(self.post("search", wish) for _ in range(2)))


HABITS: Sequence[tuple[Callable[[Load], Awaitable[None]], float]] = (
    (Load.ask, 20),
    (Load.ask_anew, 3),
    (Load.ask_together, 2),
    (Load.ask_again, 2),
    (Load.stream, 2),
    (Load.edit, 1.5),
    (Load.err, 1),
    (Load.want_the_best, 0.6),
)


def lot_of(draw: Draw) -> Callable[[Load], Awaitable[None]]:
    """What a caller does next."""
    return draw.choices([habit for habit, _ in HABITS], [weight for _, weight in HABITS])[0]


async def tour(load: Load) -> None:
    """Everything once. Thrice is needed: what is new on both replicas is seen to grow on one of them."""
    for habit, _ in HABITS:
        await habit(load)
    await asyncio.gather(*(load.want_the_best() for _ in range(2)))


async def troubles(load: Load, place: Site) -> None:
    """Everything that can happen to a gateway, in half a minute."""
    first, *_ = place.replicas
    for _ in range(3):
        await tour(load)
        await load.pause(2)
    place.openai.answer(openai.FAULTS["moderation_blocked"], openai.FAULTS["rate_limit_images"])
    place.openai.answer(Answer(fault="cut_json"), Answer(fault="reset_before_headers"))
    place.reload(teams_file(", keepalive: true"))
    await load.pause(4)
    place.together.answer(*([together.FAULTS["server_error"]] * 12))
    await load.pause(4)
    place.reload(teams_file().replace("usd_per_day: 20", "usd_per_day: -20"))  # is refused
    place.openai.answer(*([openai.FAULTS["server_error"]] * 8))
    await load.pause(4)
    place.reload(teams_file())
    await leave_holds(load, place, first)
    await use_up(load, place)


async def leave_holds(load: Load, place: Site, metrics: str) -> None:
    """A replica dies in the middle of calls, and comes back; again, if it had none just then."""
    for _ in range(MOST_DEATHS):
        place.openai.answer(*([Answer(delay=2.0)] * 6))
        await load.pause(1.5)
        place.kill(metrics)
        await asyncio.to_thread(place.start, metrics)
        await load.pause(EXPIRED_SECONDS)
        if await load.has_told(EXPIRED):
            return


async def use_up(load: Load, place: Site) -> None:
    """The account has no credit left: said until a replica has heard it, whose breaker may be open just then."""
    for _ in range(MOST_REFUSALS):
        place.openai.answer(openai.FAULTS["insufficient_quota"], Answer(fault="cut_json"))
        await load.pause(5)
        if await load.has_told(EXHAUSTED):
            break
    await load.pause(SCRAPED_SECONDS)


async def once(load: Load, place: Site) -> None:
    """Troubles, which end the load."""
    await asyncio.to_thread(place.issue_key, "search", 3)
    await troubles(load, place)
    load.stop()


async def ever(load: Load, place: Site) -> None:
    """Quiet times and troubles in turn."""
    await asyncio.to_thread(place.issue_key, "search", 3)
    while True:
        await load.pause(QUIET_SECONDS)
        await troubles(load, place)
