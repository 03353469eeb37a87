"""Samples: numbers that the store assigns to identical requests under way, so that each gets its own image.

Rule: the next request gets a number whose caller hung up, or for which nothing was bought (decision 0036).

Fails with: `FailureShared` for a remembered failure; `StateUnavailable`.
"""

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

from service.domain.errors import BackendFailed, Failure, FailureShared, GatewayError, StateUnavailable
from service.usecases.background.detached_tasks import DetachedTasks
from service.usecases.background.supervisor import report_unhandled_error
from service.usecases.generate.request_flights import IdempotencyPolicy, sample_series
from service.usecases.generate.result_cache import ResultCache
from service.usecases.generate.single_flight import is_final
from service.usecases.ports.events import FlightResolved
from service.usecases.ports.flights import Flights, Role, SampleSeries
from service.usecases.ports.observer import NULL_OBSERVER, Observer
from service.usecases.ports.requests import ImageRequest


@dataclass(slots=True, kw_only=True)
class Samples:
    """The samples of one replica. `callers` counts its requests under way by scope and series."""

    flights: Flights
    cache: ResultCache
    policy: IdempotencyPolicy
    detached_tasks: DetachedTasks
    observer: Observer = NULL_OBSERVER
    callers: Counter[tuple[str, str]] = field(default_factory=Counter)

    async def offer(self, scope: str, series: SampleSeries, number: int) -> None:
        """Offer a number to the next request of a series."""
        with suppress(StateUnavailable):  # the next request gets another number, and may buy
            await self.flights.release_sample(scope, series, number)


class Sample:
    """The number of one request. Its block serves the request, and goes on after the caller has left.

    A request with an Idempotency-Key keeps its number when the caller leaves, because the caller may come again.
    """

    def __init__(self, samples: Samples) -> None:
        self._samples = samples
        self._place: tuple[str, SampleSeries] | None = None
        self._number: int | None = None
        self._has_key = False
        self._is_counted = False
        self._has_left = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._count(-1)
        failed = isinstance(error, BackendFailed) and is_final(error.failure)
        if isinstance(error, GatewayError) and not failed:
            self._offer()

    def leave(self) -> None:
        """Offer the number to the next request, because the caller hung up. That request joins the purchase."""
        self._has_left = True
        if not self._has_key:
            self._count(-1)
            self._offer()

    async def assign(self, request: ImageRequest) -> ImageRequest:
        """Return the request with the sample number from the store, if its directives ask for one.

        Raises:
            FailureShared: a failure of the series is remembered.
            StateUnavailable: the store does not answer.
        """
        samples, terms = self._samples, request.terms
        if not terms.is_varied or terms.only_if_cached or not samples.cache.shares(request):
            return request
        shared, seconds = samples.cache.policy.shared, samples.cache.seconds(request)
        scope, series = self._place = sample_series(request, samples.policy, shared=shared, seconds=seconds)
        self._has_key = terms.idempotency_key is not None
        busy = samples.callers[scope, series.name] > 0
        if self._has_key or not self._has_left:
            self._count(1)
        assigned = await samples.flights.assign_sample(
            scope, series, is_retry=terms.is_retry, has_others_in_flight=busy
        )
        if isinstance(assigned, Failure):
            samples.observer.record(FlightResolved(role=Role.FINISHED))
            raise FailureShared(assigned)
        self._number = assigned
        if self._has_left and not self._has_key:
            self._offer()
        return replace(request, terms=replace(terms, variant=assigned))

    def _count(self, change: int) -> None:
        """Count this request among the requests under way of its series, or remove it, each once."""
        if self._place and self._is_counted == (change < 0):
            scope, series = self._place
            self._is_counted = change > 0
            self._samples.callers[scope, series.name] += change
            if not self._samples.callers[scope, series.name]:
                del self._samples.callers[scope, series.name]

    def _offer(self) -> None:
        """Offer the number in the background, once."""
        if self._place and self._number is not None:
            offering, self._number = self._samples.offer(*self._place, self._number), None
            self._samples.detached_tasks.start(offering).add_done_callback(report_unhandled_error)
