"""Use cases of an image request, and the parts that all use cases share.

Rule: the use cases get adapters by their ports alone.
"""

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
    money, images, settings, observer = parts.money, parts.images, config.settings, config.observer
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
        gather_references=GatherReferences(
            codec=images.codec,
            fetcher=fetcher,
            stored_reader=StoredReferenceReader(images=images.images, uploads=images.uploads),
        ),
        read_limits=ReadLimits(quotas=money.quotas, hold_quota=money.hold_quota),
        single_flight=SingleFlight(
            flights=money.flights,
            cache=cache,
            new_id=new_id,
            lease_seconds=settings.ledger.lease_seconds,
            observer=observer,
        ),
        samples=Samples(
            flights=money.flights, cache=cache, policy=idempotency, detached_tasks=parts.detached, observer=observer
        ),
        cache=cache,
        serve_cached=ServeCached(
            hold_quota=money.hold_quota, image_storage=images.image_storage, new_id=new_id, now=now
        ),
        attempt=Attempt(
            backends=backends,
            transcode_images=TranscodeImages(codec=images.codec),
            hold_quota=money.hold_quota,
            admission=parts.upstream.admission,
            observer=observer,
            tracer=parts.tracer,
            new_id=new_id,
            monotonic=time.monotonic,
        ),
        image_storage=images.image_storage,
        detached_tasks=parts.detached,
        idempotency=idempotency,
        retry=RetryPolicy(
            wait_seconds=settings.routing.wait_seconds, accepts_partial=settings.routing.partial_failure == "return"
        ),
        queue=queue,
        now=now,
        sleep=asyncio.sleep,
        zero_usage=settings.cache.usage == "zero",
    )
