"""A gateway among fakes: replicas that serve requests on the same stores."""

import asyncio
import itertools
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from service.adapters.redis.connection_pool import ConnectionQueue
from service.domain.booking import Caller
from service.domain.cache_directives import CacheDirectives
from service.domain.catalog import Catalog
from service.domain.generation import CallOutcome, Generation
from service.domain.image_spec import Spec
from service.domain.ledger import Entry
from service.usecases.background.detached_tasks import DetachedTasks
from service.usecases.generate.attempt import Attempt
from service.usecases.generate.attempts import RetryPolicy
from service.usecases.generate.delivery import Delivery
from service.usecases.generate.make_images import MakeImages, RequestQueue
from service.usecases.generate.request_flights import IdempotencyPolicy
from service.usecases.generate.result_cache import CachePolicy, ResultCache
from service.usecases.generate.samples import Samples
from service.usecases.generate.serve_cached import ServeCached
from service.usecases.generate.single_flight import SingleFlight
from service.usecases.images.gather_references import GatherReferences
from service.usecases.images.image_storage import ImageStorage
from service.usecases.images.read_images import ReadImages
from service.usecases.images.transcode_images import TranscodeImages
from service.usecases.money.hold_quota import HoldQuota
from service.usecases.money.read_limits import ReadLimits
from service.usecases.ports.backends import Backend, Reply
from service.usecases.ports.flights import Flights
from service.usecases.ports.image_store import ImageStore
from service.usecases.ports.ledger import EntryFilter
from service.usecases.ports.requests import NULL_LISTENER, RequestListener, UpstreamRequest
from service.usecases.ports.tracing import NullTracer
from tests.fakes.admission_control import FakeAdmissionControl
from tests.fakes.backends import FakeBackend
from tests.fakes.builders import NOW, at_once, build_generation, build_money, image_request
from tests.fakes.flights import FakeFlights
from tests.fakes.image_codec import FakeImageCodec
from tests.fakes.ledger import FakeLedger
from tests.fakes.observer import Recorder
from tests.fakes.quota_store import FakeQuotaStore
from tests.fakes.reference_fetcher import FakeReferenceFetcher
from tests.fakes.result_store import FakeResultStore

PLAIN = CacheDirectives()
CACHE = CachePolicy(seconds=3600, shared=False)
UNCACHED = CachePolicy(seconds=0, shared=False)
IDEMPOTENCY = IdempotencyPolicy(seconds=86_400, waits=True, failure_seconds=30)
PATIENT, IMPATIENT = RetryPolicy(wait_seconds=10), RetryPolicy(wait_seconds=0)


class Foxes(FakeBackend):
    """Delivers fox1, fox2 and so on, or what `reply_next` gave it: outcomes, or errors that are raised."""

    def __init__(self, *outcomes: CallOutcome | Exception) -> None:
        super().__init__()
        self.outcomes = [*outcomes]

    async def generate(self, request: UpstreamRequest, listener: RequestListener) -> Reply:
        del listener
        self.requests.append(request)
        number = len(self.requests)
        await self.gate.wait()
        outcome = self.outcomes.pop(0) if self.outcomes else build_generation(f"fox{number}", tier="low", created=7)
        if isinstance(outcome, Exception):
            raise outcome
        return Reply(outcome=outcome)

    @property
    def calls(self) -> int:
        """Number of calls."""
        return len(self.requests)


@dataclass(slots=True, kw_only=True)
class Gateway:
    """The parts that the replicas share. The monotonic clock advances by a second at every reading."""

    backends: Mapping[str, Backend]
    quotas: FakeQuotaStore = field(default_factory=lambda: FakeQuotaStore(counted=True))
    ledger: FakeLedger = field(default_factory=FakeLedger)
    observer: Recorder = field(default_factory=Recorder)
    flights: FakeFlights = field(default_factory=FakeFlights)
    results: FakeResultStore = field(default_factory=FakeResultStore)
    links: FakeReferenceFetcher = field(default_factory=FakeReferenceFetcher)
    codec: FakeImageCodec = field(default_factory=FakeImageCodec)
    admission: FakeAdmissionControl = field(default_factory=FakeAdmissionControl)
    hold_quota: HoldQuota = field(init=False)
    store: ImageStore | None = None
    keep_all: bool = False
    lease_seconds: float = 30.0
    cache: CachePolicy = CACHE
    idempotency: IdempotencyPolicy = IDEMPOTENCY
    retry: RetryPolicy = PATIENT
    now: Callable[[], datetime] = lambda: NOW
    sleep: Callable[[float], Awaitable[None]] = at_once
    queue: RequestQueue = field(default_factory=ConnectionQueue)
    zero_usage: bool = False
    detached: DetachedTasks = field(default_factory=DetachedTasks)

    def __post_init__(self) -> None:
        self.hold_quota = build_money(self.quotas, self.ledger, self.observer)

    def replica(self, **changes: Any) -> MakeImages:
        """Build another replica, with some of its parts changed."""
        gateway = replace(self, **changes)
        gateway.hold_quota = self.hold_quota
        return build_replica(gateway)

    async def entries(self) -> list[Entry]:
        """Return the entries of the ledger."""
        await self.hold_quota.settlement.write_outbox()
        return [entry async for entry in self.ledger.entries(EntryFilter(since=0, until=2**62))]


def build_replica(gateway: Gateway) -> MakeImages:
    """Build the use case of one replica."""
    numbers, cache = itertools.count(1), build_cache(gateway)
    storage = ImageStorage(
        image_store=gateway.store,
        new_id=random_name,
        observer=gateway.observer,
        store_all=gateway.keep_all,
        reuse_seconds=86_400,
    )
    return MakeImages(
        backends=gateway.backends,
        gather_references=GatherReferences(
            codec=gateway.codec, fetcher=gateway.links, stored_reader=FakeReferenceFetcher()
        ),
        read_limits=ReadLimits(quotas=gateway.quotas, hold_quota=gateway.hold_quota),
        single_flight=build_single_flight(gateway.flights, cache, gateway.lease_seconds, gateway.observer),
        samples=Samples(
            flights=gateway.flights,
            cache=cache,
            policy=gateway.idempotency,
            detached_tasks=gateway.detached,
            observer=gateway.observer,
        ),
        cache=cache,
        serve_cached=ServeCached(
            hold_quota=gateway.hold_quota, image_storage=storage, new_id=random_name, now=gateway.now
        ),
        attempt=Attempt(
            backends=gateway.backends,
            transcode_images=TranscodeImages(codec=gateway.codec),
            hold_quota=gateway.hold_quota,
            admission=gateway.admission,
            observer=gateway.observer,
            tracer=NullTracer(),
            new_id=lambda: f"hold-{next(numbers)}-{random_name()}",
            monotonic=itertools.count().__next__,
        ),
        image_storage=storage,
        detached_tasks=gateway.detached,
        idempotency=gateway.idempotency,
        retry=gateway.retry,
        queue=gateway.queue,
        now=gateway.now,
        sleep=gateway.sleep,
        zero_usage=gateway.zero_usage,
    )


def build_cache(gateway: Gateway) -> ResultCache:
    """Build the cache of a replica."""
    images = ReadImages(store=gateway.store, keep_seconds=1e9, now=gateway.now)
    return ResultCache(results=gateway.results, images=images, policy=gateway.cache, now=gateway.now)


def build_single_flight(
    flights: Flights, cache: ResultCache | None = None, lease_seconds: float = 30.0, observer: Recorder | None = None
) -> SingleFlight:
    """Build what joins the flights of a replica."""
    cache = cache or build_cache(Gateway(backends={}))
    return SingleFlight(
        flights=flights, cache=cache, new_id=random_name, lease_seconds=lease_seconds, observer=observer or Recorder()
    )


class Scene:
    """A gateway whose only backend draws foxes, and that does not wait for it after a failure."""

    def __init__(self, *outcomes: CallOutcome | Exception, **parts: Any) -> None:
        self.alpha = Foxes(*outcomes)
        self.gateway = Gateway(**{"backends": {"alpha": self.alpha}, "retry": IMPATIENT, **parts})
        self.flights, self.results = self.gateway.flights, self.gateway.results

    async def ask(
        self,
        terms: CacheDirectives = PLAIN,
        who: Caller | None = None,
        replica: MakeImages | None = None,
        **changes: Any,
    ) -> Delivery:
        """Send a request with these terms, to another replica unless one is named."""
        return await (replica or self.gateway.replica()).make(image_request(None, who, terms=terms, **changes))

    def start(self, *about: Any, **changes: Any) -> asyncio.Task[Delivery]:
        """Send a request in a task of its own."""
        return asyncio.create_task(self.ask(*about, **changes))

    async def reached(self, calls: int) -> None:
        """Wait until the backend has had as many calls."""
        await until(lambda: self.alpha.calls >= calls)


async def until(reached: Callable[[], object]) -> None:
    """Wait until something holds among fakes, which signal nothing."""
    async with asyncio.timeout(10):
        while not reached():  # noqa: ASYNC110 (see above)
            await asyncio.sleep(0)


def images_from(backends: Mapping[str, Backend], **parts: Any) -> Callable[..., Awaitable[Delivery]]:
    """Build a gateway for requests that share with none: `await images_from(backends)(spec, caller, catalog)`."""
    make = Gateway(backends=backends, **parts).replica()

    async def ask(
        spec: Spec, caller: Caller, catalog: Catalog, listener: RequestListener = NULL_LISTENER, **changes: Any
    ) -> Delivery:
        return await make.make(
            image_request(spec, caller, catalog, **{"terms": CacheDirectives(allow_cached=False), **changes}), listener
        )

    return ask


def drawn(delivery: Delivery) -> list[bytes]:
    """Return the images of a delivery."""
    return images_in(delivery.result.generation)


def images_in(generation: Generation) -> list[bytes]:
    """Return the images of a generation."""
    return [bytes(image.base64) for image in generation.images]


def random_name() -> str:
    """Return 32 random hex digits."""
    return uuid.uuid4().hex
