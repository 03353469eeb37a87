"""Use cases of an image request, and the parts that all use cases share."""

import asyncio
import time
from dataclasses import dataclass, field

from service.adapters.redis.connection_pool import ConnectionQueue
from service.adapters.reference_fetcher import GuardedFetcher
from service.composition.app_config import AppConfig, new_id, now
from service.composition.images import ImageParts
from service.composition.money import MoneyParts
from service.composition.stores import StoreMonitors
from service.composition.upstream import UpstreamParts
from service.usecases.admin.config_reload import ConfigReload
from service.usecases.background.detached_tasks import DetachedTasks
from service.usecases.generate.attempt import Attempt
from service.usecases.generate.attempts import RetryPolicy
from service.usecases.generate.make_images import MakeImages
from service.usecases.generate.request_flights import IdempotencyPolicy
from service.usecases.generate.result_cache import CachePolicy, ResultCache
from service.usecases.generate.samples import Samples
from service.usecases.generate.serve_cached import ServeCached
from service.usecases.generate.single_flight import SingleFlight
from service.usecases.images.gather_references import GatherReferences
from service.usecases.images.sign_urls import SignUrls
from service.usecases.images.stored_reference_reader import StoredReferenceReader
from service.usecases.images.transcode_images import TranscodeImages
from service.usecases.money.read_limits import ReadLimits
from service.usecases.ports.tracing import Tracer


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedParts:
    """Parts that several use cases share."""

    money: MoneyParts
    images: ImageParts
    upstream: UpstreamParts
    stores: StoreMonitors
    config_reload: ConfigReload
    sign_urls: SignUrls
    tracer: Tracer
    detached: DetachedTasks = field(default_factory=DetachedTasks)


def build_make_images(
    config: AppConfig, parts: SharedParts, fetcher: GuardedFetcher, queue: ConnectionQueue
) -> MakeImages:
    """Build the use case that serves an image request."""
    money, images, settings, observe = parts.money, parts.images, config.settings, config.observe
    backends = parts.upstream.backends
    idempotency = IdempotencyPolicy(
        seconds=settings.idempotency.key_seconds,
        waits=settings.idempotency.in_progress == "wait",
        failure_seconds=settings.idempotency.failure_seconds,
    )
    cache = ResultCache(
        results=money.results,
        images=images.images,
        policy=CachePolicy(seconds=settings.cache.seconds, shared=settings.cache.shared),
        now=now,
    )
    return MakeImages(
        backends=backends,
        references=GatherReferences(
            codec=images.codec,
            fetcher=fetcher,
            stored_reader=StoredReferenceReader(images=images.images, uploads=images.uploads),
        ),
        limits=ReadLimits(quotas=money.quotas, rebuild=money.hold_quota.rebuild),
        single_flight=SingleFlight(
            flights=money.flights, cache=cache, mint=new_id, lease=settings.ledger.lease_seconds, observe=observe
        ),
        samples=Samples(
            flights=money.flights, cache=cache, policy=idempotency, detached=parts.detached, observe=observe
        ),
        cache=cache,
        cached=ServeCached(hold=money.hold_quota, keep=images.image_storage, mint=new_id, now=now),
        attempt=Attempt(
            backends=backends,
            develop=TranscodeImages(codec=images.codec),
            hold=money.hold_quota,
            turns=parts.upstream.admission,
            observe=observe,
            trace=parts.tracer,
            mint=new_id,
            elapsed=time.monotonic,
        ),
        keep=images.image_storage,
        detached=parts.detached,
        idempotency=idempotency,
        retry=RetryPolicy(
            wait_seconds=settings.routing.wait_seconds, some=settings.routing.partial_failure == "return"
        ),
        is_overloaded=queue.is_full,
        now=now,
        sleep=asyncio.sleep,
        zero_usage=settings.cache.usage == "zero",
    )
