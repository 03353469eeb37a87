"""The composition root: the only module that knows all the others.

Rule: settings go in, a runnable application comes out; nothing is looked up anywhere else. What cannot work stops the
start with `SettingsError`.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from litestar import Litestar
from litestar.types import ASGIApp

from service.adapters.exports import formats, missing
from service.adapters.links import GuardedLinks
from service.adapters.redis.crowd import Crowd
from service.adapters.state import UNHURRIED_SECONDS, State
from service.api.application import Plane, build, edged, opened_to
from service.api.bodies import Limits, Pace
from service.api.desk import Desk, Links
from service.api.planes import Planes
from service.api.scrape import Scraped
from service.domain.teams import InFlight, Key, Team, digest_of
from service.domain.terms import InFlightRules
from service.parts import (
    Accounts,
    Album,
    Closing,
    Plans,
    accounts_of,
    album_of,
    asking_after,
    mint,
    new_secret,
    now,
    renewing_of,
    signs_of,
    storage_of,
    turns_of,
    turnstile_of,
)
from service.settings.files import SettingsError
from service.settings.gateway import GatewaySettings
from service.settings.storage import Storage
from service.sources import links_of, sandbox, tracer_of, vendor
from service.usecases.background import Fatal, Forever, in_background, log_lost_errors
from service.usecases.detached import Detached
from service.usecases.develop import Develop
from service.usecases.export_usage import ExportUsage
from service.usecases.gather_references import GatherReferences
from service.usecases.generate.attempt import Attempt
from service.usecases.generate.attempts import RetryPolicy
from service.usecases.generate.make_images import MakeImages
from service.usecases.generate.request_flights import IdempotencyPolicy
from service.usecases.generate.result_cache import CachePolicy, ResultCache
from service.usecases.generate.samples import Samples
from service.usecases.generate.serve_cached import ServeCached
from service.usecases.generate.single_flight import SingleFlight
from service.usecases.issue_keys import IssueKeys
from service.usecases.keep_files import KeepFiles
from service.usecases.know_callers import KnowCallers
from service.usecases.ports import Backends
from service.usecases.read_limits import ReadLimits
from service.usecases.recall_pictures import RecallPictures
from service.usecases.report_usage import ReportUsage
from service.usecases.sign_links import SignLinks
from service.usecases.take_readings import TakeReadings
from service.usecases.take_turns import TakeTurns
from service.usecases.tend_results import CountResults, PurgeResults
from service.usecases.traces import Tracer
from service.usecases.warn_of_eviction import CACHE, NEARLY_FULL, STATE, WarnOfEviction
from service.usecases.watch_loop import WatchLoop
from service.usecases.watch_stores import WatchStores


@dataclass(slots=True)
class Drain:
    """Whether this replica is on its way out."""

    begun: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A gateway that a server can run. `backends` are the names of those that are on, `pictures` is where they go.

    `tasks` names what runs behind the requests; `fatal` says why it cannot go on.
    """

    asgi: ASGIApp
    litestar: Litestar
    drain: Drain
    fatal: Fatal
    tasks: tuple[str, ...]
    backends: tuple[str, ...]
    pictures: Storage | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedStores:
    """The store of money and that of results, as readiness and the log tell of them."""

    state: State
    cache: State
    warn: WarnOfEviction
    watch: WatchStores
    drain: Drain

    async def problems(self) -> Mapping[str, str]:
        """Return why nothing is admitted now, by part; empty if all is well."""
        if self.drain.begun:
            return {"gateway": "is shutting down"}
        problem = await self.state.problem()
        return {"redis": problem} if problem else {}

    def warnings(self) -> Mapping[str, str]:
        """Return what an operator has to mend soon, by part."""
        if self.warn.fullness is None or self.warn.fullness < NEARLY_FULL:
            return {}
        return {"redis": f"{self.warn.fullness:.0%} of its memory is used"}

    def parts(self) -> tuple[Closing, ...]:
        """Return the connections, which are closed at the end."""
        return (self.state, self.cache)


def _watched_stores(plans: Plans, drain: Drain) -> WatchedStores:
    state, cache = State(plans.stores.redis_url), State(plans.stores.cache_url, scripted=False)
    problems = {STATE: partial(state.problem, UNHURRIED_SECONDS), CACHE: partial(cache.problem, UNHURRIED_SECONDS)}
    return WatchedStores(
        state=state,
        cache=cache,
        warn=WarnOfEviction(memory=state.memory, shared=state.serves(plans.stores.cache_url), observe=plans.observe),
        watch=WatchStores(problems=problems, observe=plans.observe),
        drain=drain,
    )


def assemble(plans: Plans) -> Gateway:
    """Put a gateway together. Connects to nothing yet."""
    settings, observe = plans.settings, plans.observe
    vendors = {name: vendor(settings, name, plans.gateway_id) for name in settings.api_keys}
    backends: Backends = {**vendors, **sandbox(settings)}
    if not backends:
        raise SettingsError(
            "No backend is on: set the environment variable of a vendor's key, or switch the sandbox on.",
        )
    trace = tracer_of(settings)
    links, drain = links_of(settings), Drain()
    crowd = Crowd(most=settings.state.most_waiting)
    turnstile = turnstile_of(plans, crowd)
    turns = turns_of(plans, turnstile)
    accounts, detached = accounts_of(plans, crowd, lambda: drain.begun), Detached()
    album = album_of(plans, accounts.database)
    callers = _callers(plans, accounts, frozenset(backends))
    stores = _watched_stores(plans, drain)
    readings, loop = _readings(plans, accounts, callers), _loop(plans)
    signs = signs_of(plans)
    renew = renewing_of(plans, callers, turns, signs)
    tasks: Mapping[str, Forever] = {
        **accounts.background(),
        "reload settings": callers.run,
        "reload secrets": renew.run,
        "check eviction": stores.warn.run,
        "watch the stores": stores.watch.run,
        "collect readings": readings.run,
        "watch the loop": loop.run,
        "share health": turns.run,
        **asking_after(plans, turns, vendors),
        **album.background(plans),
    }

    parts = Parts(
        accounts=accounts, album=album, callers=callers, detached=detached, turns=turns, signs=signs, trace=trace
    )
    connected: tuple[Closing, ...] = (*vendors.values(), links, *stores.parts(), turnstile, *accounts.parts(), trace)
    running = _running(plans, parts, tasks, (*accounts.last(), turns, *connected))
    make = _make(plans, backends, links, parts, crowd)
    desk = _desk(plans, parts, make, stores)
    app = build(desk, observe, running, plane=Plane.BOTH if plans.admin_port is None else Plane.CALLERS)
    asgi = edged(opened_to(app, settings.cors.origins), observe, mint, time.monotonic, trace)
    scraped = Scraped(asgi, plans.tell) if plans.tell else asgi
    return Gateway(
        asgi=_with_admin(plans, desk, trace, scraped),
        litestar=app,
        drain=drain,
        fatal=plans.fatal,
        tasks=tuple(tasks),
        backends=tuple(backends),
        pictures=storage_of(plans),
    )


def _with_admin(plans: Plans, desk: Desk, trace: Tracer, callers: ASGIApp) -> ASGIApp:
    """Beside what callers ask for, what operators do on a port of their own, if there is one."""
    if plans.admin_port is None:
        return callers
    operators = build(desk, plans.observe, plane=Plane.OPERATORS)
    return Planes(callers, edged(opened_to(operators), plans.observe, mint, time.monotonic, trace), plans.admin_port)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the use cases share."""

    accounts: Accounts
    album: Album
    callers: KnowCallers
    detached: Detached
    turns: TakeTurns
    signs: SignLinks
    trace: Tracer


def _running(
    plans: Plans, parts: Parts, tasks: Mapping[str, Forever], closing: Sequence[Closing]
) -> Callable[[Litestar], AbstractAsyncContextManager[None]]:
    """What goes on while requests are served. At its end the parts in `closing` are closed, the first one first."""

    @asynccontextmanager
    async def running(_: Litestar) -> AsyncIterator[None]:
        log_lost_errors(plans.observe)
        async with AsyncExitStack() as ended:  # each is closed, whatever the others do
            for part in reversed(closing):
                ended.push_async_callback(part.close)
            await parts.callers.refresh()
            await parts.accounts.hold.recounts.beat()  # before the first hold: a rebuild elsewhere waits for this one
            async with in_background(plans.observe, plans.fatal, tasks):
                yield
                await parts.detached.close()

    return running


def _make(plans: Plans, backends: Backends, links: GuardedLinks, parts: Parts, crowd: Crowd) -> MakeImages:
    accounts, album, settings, observe = parts.accounts, parts.album, plans.settings, plans.observe
    idempotency = IdempotencyPolicy(
        seconds=settings.purchases.key_seconds,
        waits=settings.purchases.key_in_use == "wait",
        failure_seconds=settings.purchases.remember_failures_seconds,
    )
    cache = ResultCache(
        results=accounts.results,
        images=album.pictures,
        policy=CachePolicy(seconds=settings.cache.seconds, shared=settings.cache.shared),
        now=now,
    )
    return MakeImages(
        backends=backends,
        references=GatherReferences(
            darkroom=album.darkroom,
            links=links,
            kept=RecallPictures(pictures=album.pictures, most_bytes=settings.requests.most_picture_bytes),
        ),
        limits=ReadLimits(ledger=accounts.ledger, rebuild=accounts.hold.rebuild),
        single_flight=SingleFlight(
            flights=accounts.flights, cache=cache, mint=mint, lease=settings.ledger.lease_seconds, observe=observe
        ),
        samples=Samples(
            flights=accounts.flights, cache=cache, policy=idempotency, detached=parts.detached, observe=observe
        ),
        cache=cache,
        cached=ServeCached(hold=accounts.hold, keep=album.keep, mint=mint, now=now),
        attempt=Attempt(
            backends=backends,
            develop=Develop(darkroom=album.darkroom),
            hold=accounts.hold,
            turns=parts.turns,
            observe=observe,
            trace=parts.trace,
            mint=mint,
            elapsed=time.monotonic,
        ),
        keep=album.keep,
        detached=parts.detached,
        idempotency=idempotency,
        retry=RetryPolicy(
            wait_seconds=settings.routing.wait_seconds, some=settings.routing.partial_failure == "return"
        ),
        crowded=crowd.is_full,
        now=now,
        sleep=asyncio.sleep,
        zero_usage=settings.cache.usage == "zero",
    )


def _callers(plans: Plans, accounts: Accounts, on: frozenset[str]) -> KnowCallers:
    files, first = plans.files, plans.first
    return KnowCallers(
        known=first.known,
        seen=first.stamp,
        read=files.again,
        stamp=files.stamp,
        key_store=accounts.key_store,
        observe=plans.observe,
        on=on,
        now=now,
    )


def _readings(plans: Plans, accounts: Accounts, callers: KnowCallers) -> TakeReadings:
    return TakeReadings(
        live=callers.live,
        backlog=accounts.keep.backlog,
        standings=ReadLimits(ledger=accounts.ledger, rebuild=accounts.hold.rebuild),
        observe=plans.observe,
        now=now,
        sleep=asyncio.sleep,
        seconds=plans.settings.metrics.read_seconds,
    )


def _loop(plans: Plans) -> WatchLoop:
    return WatchLoop(observe=plans.observe, elapsed=time.monotonic, sleep=asyncio.sleep)


def _desk(
    plans: Plans,
    parts: Parts,
    make: MakeImages,
    stores: WatchedStores,
) -> Desk:
    settings, accounts, album, callers = plans.settings, parts.accounts, parts.album, parts.callers
    return Desk(
        make=make,
        keep=album.keep,
        live=callers.live,
        pictures=album.pictures,
        files=KeepFiles(pictures=album.pictures, listing=album.files, darkroom=album.darkroom, mint=mint),
        ledger=accounts.ledger,
        books=accounts.books,
        key_store=accounts.key_store,
        issue=IssueKeys(
            store=accounts.key_store,
            teams=lambda: callers.live().teams,
            catalog=lambda: callers.live().catalog,
            in_file=lambda: {key.id: key.team.name for key in callers.known.roster.keys.values()},
            file=str(plans.files.folder / "teams.yaml"),
            now=now,
            secret=new_secret,
            mint=mint,
        ),
        report=ReportUsage(books=accounts.books),
        export=ExportUsage(books=accounts.books, formats=formats(), missing=missing()),
        standings=ReadLimits(ledger=accounts.ledger, rebuild=accounts.hold.rebuild),
        backends=parts.turns.standings,
        purge=PurgeResults(
            count=CountResults(results=accounts.results, live=callers.live, shared=settings.cache.shared),
            key_store=accounts.key_store,
            now=now,
        ),
        admin=settings.admin_digest,
        tags=settings.tags,
        in_flight=InFlightRules(
            default=InFlight(settings.cache.in_flight), user_agents=settings.cache.vary_user_agents
        ),
        limits=_limits(settings),
        links=Links(
            signs=parts.signs,
            seconds=settings.pictures.link_seconds,
            public_url=settings.pictures.public_url,
        ),
        keepalive_seconds=settings.serving.keepalive_seconds,
        now=now,
        ready=stores.problems,
        warnings=stores.warnings,
        log_prompts=settings.logs.prompts,
        gateway_id=plans.gateway_id,
    )


def _limits(settings: GatewaySettings) -> Limits:
    entry = settings.requests
    return Limits(
        most_json_bytes=entry.most_json_bytes,
        most_form_bytes=entry.most_form_bytes,
        most_picture_bytes=entry.most_picture_bytes,
        pace=Pace(
            idle_seconds=entry.idle_seconds,
            body_seconds=entry.body_seconds,
            least_rate=entry.least_bytes_per_second,
        ),
    )


def dev_key(secret: str) -> Key:
    """The one key of `serve --dev`."""
    return Key(id="dev", team=Team(name="dev"), digest=digest_of(secret))
