"""Requests of a company, and every trouble that a gateway can have, for a bounded time.

Rule: a seeded generator draws every choice, so that two runs send the same requests. A pause ends with the load. The
load counts every status, and none is a failure.
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
IMAGE_BASE64 = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEUlEQVR4nGP4z8CAFWEXHbQSACj/P8Fu7N9hAAAAAElFTkSuQmCC"
QUIET_SECONDS = 30
MAX_DEATHS = 4
EXPIRED = re.compile(r'^gateway_holds_total\{end="expired_booked"\} [1-9]', re.MULTILINE)
EXHAUSTED = re.compile(r"^gateway_upstream_exhausted\{.*\} 1", re.MULTILINE)
MAX_REFUSALS = 6
SCRAPED_SECONDS = 2  # until the next scrape
EXPIRED_SECONDS = 5  # the lease of a hold, and the pause of the sweeper
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
    """Draw one of the keys by weight."""
    return draw.choices([*weights], [*weights.values()])[0]


class Load:
    """A number of callers that send requests to a site at the same time, for `seconds`."""

    def __init__(self, place: Site, seconds: float, callers: int = 6, seed: int = 7) -> None:
        self._place = place
        self._until = time.monotonic() + seconds
        self._callers = callers
        self._draw = random.Random(seed)  # noqa: S311 (a demonstration, not a secret)
        self._over = asyncio.Event()
        self.answers: Counter[int] = Counter()

    def stop(self) -> None:
        """End the load early."""
        self._over.set()

    async def run(self, events: Callable[["Load"], Awaitable[None]]) -> None:
        """Start the callers. `events` runs beside them, once or in a loop."""
        async with httpx2.AsyncClient(timeout=30, trust_env=False) as self._client, asyncio.TaskGroup() as group:
            group.create_task(self._end())
            happening = group.create_task(self._happen(events))
            for _ in range(self._callers):
                group.create_task(self._caller())
            await self._over.wait()
            happening.cancel()

    async def _happen(self, events: Callable[["Load"], Awaitable[None]]) -> None:
        """Run the events.

        Ctrl-C in a terminal reaches all processes: after the end of the load, a server may be gone.
        """
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
        """Send requests with pauses until the load ends."""
        while not self._over.is_set():
            await draw_habit(self._draw)(self)
            await self.pause(self._draw.uniform(0.05, 0.35))

    async def post(self, team: str, body: Mapping[str, Any], path: str = GENERATE, **headers: str) -> None:
        """Send one request. A replica that is going away does not answer, which counts as 0."""
        sent_headers = {"authorization": f"Bearer igw_{team}"}
        sent_headers |= {name.replace("_", "-"): text for name, text in headers.items()}
        url = self._draw.choice(self._place.urls)
        try:
            reply = await self._client.post(url + path, json=body, headers=sent_headers)
        except httpx2.TransportError:
            self.answers[0] += 1
            return
        self.answers[reply.status_code] += 1

    async def exposes(self, series: re.Pattern[str]) -> bool:
        """Return whether a replica exposes a line that matches."""
        pages = [await self._client.get(f"http://{metrics}/metrics") for metrics in [*self._place.replicas]]
        return any(series.search(page.text) for page in pages)

    def build_body(self, **changes: Any) -> dict[str, Any]:
        """Build a request that an earlier caller may have sent."""
        model = lot(self._draw, MODELS)
        tier = {"quality": lot(self._draw, TIERS)} if model in TIERED else {}
        prompt = f"a red fox, {self._draw.randrange(60)}"
        return {"model": model, "prompt": prompt, "size": lot(self._draw, SIZES), **tier, **changes}

    async def ask(self) -> None:
        await self.post(lot(self._draw, WEIGHTS), self.build_body())

    async def ask_together(self) -> None:
        """Send one request four times at once, to all replicas."""
        body = self.build_body(prompt=f"everybody wants this, {self._draw.random()}")
        await asyncio.gather(*(self.post("search", body) for _ in range(4)))

    async def ask_again(self) -> None:
        """Send one request twice with the same idempotency key."""
        key = f"order-{self._draw.randrange(10**9)}"
        body = self.build_body(model="gpt-image-2", quality="low")
        for _ in range(2):
            await self.post("search", body, idempotency_key=key)

    async def ask_anew(self) -> None:
        """Send a request that bypasses the cache."""
        await self.post(lot(self._draw, WEIGHTS), self.build_body(), cache_control="no-store")

    async def stream(self) -> None:
        """Request a stream with previews."""
        body = self.build_body(model="gpt-image-2", quality="low", prompt=f"grow, {self._draw.random()}")
        await self.post("search", body | {"stream": True, "partial_images": 2})

    async def edit(self) -> None:
        """Send an edit with its input image."""
        link = f"data:image/png;base64,{IMAGE_BASE64}"
        body = {"model": "gpt-image-2", "prompt": f"at night, {self._draw.random()}", "quality": "low"}
        await self.post("studio", body | {"images": [{"image_url": link}]}, EDIT)

    async def err(self) -> None:
        """Send mistakes: a size, a model and a key that do not exist."""
        await self.post("search", self.build_body(size="7x7"))
        await self.post("search", self.build_body(model=f"junk-{self._draw.random()}"))
        await self.post("nobody", self.build_body())

    async def want_the_best(self) -> None:
        """Request more images of the best quality than the team may have in a minute."""
        body = self.build_body(model="gpt-image-2", quality="high", prompt=f"the best, {self._draw.random()}", n=4)
        await asyncio.gather(*(self.post("search", body) for _ in range(2)))


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


def draw_habit(draw: Draw) -> Callable[[Load], Awaitable[None]]:
    """Draw the next request of a caller."""
    return draw.choices([habit for habit, _ in HABITS], [weight for _, weight in HABITS])[0]


async def tour(load: Load) -> None:
    """Send every kind of request once.

    Three calls are needed: a counter that is new on both replicas has to grow on one of them.
    """
    for habit, _ in HABITS:
        await habit(load)
    await asyncio.gather(*(load.want_the_best() for _ in range(2)))


async def troubles(load: Load, place: Site) -> None:
    """Let everything happen to the gateways that can happen, in half a minute."""
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
    """Kill a replica in the middle of calls and start it again. Repeat that if it had no open hold."""
    for _ in range(MAX_DEATHS):
        place.openai.answer(*([Answer(delay=2.0)] * 6))
        await load.pause(1.5)
        place.kill(metrics)
        await asyncio.to_thread(place.start, metrics)
        await load.pause(EXPIRED_SECONDS)
        if await load.exposes(EXPIRED):
            return


async def use_up(load: Load, place: Site) -> None:
    """Let the account run out of credit until a replica has seen it: its breaker may be open at first."""
    for _ in range(MAX_REFUSALS):
        place.openai.answer(openai.FAULTS["insufficient_quota"], Answer(fault="cut_json"))
        await load.pause(5)
        if await load.exposes(EXHAUSTED):
            break
    await load.pause(SCRAPED_SECONDS)


async def once(load: Load, place: Site) -> None:
    """Run the troubles once and end the load."""
    await asyncio.to_thread(place.issue_key, "search", 3)
    await troubles(load, place)
    load.stop()


async def ever(load: Load, place: Site) -> None:
    """Alternate quiet times and troubles."""
    await asyncio.to_thread(place.issue_key, "search", 3)
    while True:
        await load.pause(QUIET_SECONDS)
        await troubles(load, place)
