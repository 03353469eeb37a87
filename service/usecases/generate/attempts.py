"""The attempts of one request: its tried plans, its generated images and their cost.

Rule: every bought image is posted, even if others fail. A setting decides whether an incomplete result is delivered.

Fails with: `BackendFailed`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import reduce

from service.domain.emulation_notes import ServedRequest, build_notes
from service.domain.errors import BackendFailed, Failure
from service.domain.failover import FailedAttempt, PlannedAttempt, RouteState, next_step
from service.domain.generation import Generation
from service.domain.routing import Plan
from service.usecases.generate.attempt import AttemptResult, join
from service.usecases.ports.admission_control import AdmissionControl
from service.usecases.ports.requests import ImageRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Total seconds that a request waits for backends, and whether an incomplete result is delivered."""

    wait_seconds: float
    accepts_partial: bool = False


@dataclass(slots=True)
class Attempts:
    """The attempts of a request so far. `total` sums up costs and previews, `waited_seconds` the waits."""

    request: ImageRequest
    plans: Sequence[Plan]
    policy: RetryPolicy
    tried: list[FailedAttempt] = field(default_factory=list)
    generations: list[tuple[Plan, Generation]] = field(default_factory=list)
    total: AttemptResult = field(default_factory=AttemptResult)
    waited_seconds: float = 0.0

    @property
    def images(self) -> int:
        """Number of generated images."""
        return sum(len(generation.images) for _, generation in self.generations)

    @property
    def rest(self) -> ImageRequest:
        """The request for the missing images."""
        return self.request.for_missing(self.images)

    def next(self, admission: AdmissionControl) -> PlannedAttempt | Failure:
        """Return the next plan and the wait before it, or the failure that ends the request.

        Missing images are requested from the backend of the first ones.
        """
        plans = [plan for plan, _ in self.generations[:1]] or self.plans
        route_states = [
            RouteState(
                plan=plan,
                blocked_by=admission.blocked_by(plan.route),
                consecutive_failures=admission.consecutive_failures(plan.route),
            )
            for plan in plans
        ]
        return next_step(route_states, self.tried, self.policy.wait_seconds - self.waited_seconds)

    def add(self, plan: Plan, result: AttemptResult) -> None:
        """Add the result of an attempt."""
        self.total += result
        if result.failure:
            self.tried.append(FailedAttempt(plan=plan, failure=result.failure))
        if result.generation:
            self.generations.append((plan, result.generation))

    def accept_partial_or_raise(self, failure: Failure) -> None:
        """Accept the images so far as the result. Raises `BackendFailed` if they are not enough."""
        if not self.images:
            raise BackendFailed(failure)
        if not self.policy.accepts_partial:
            counted = f"{self.images} of {self.request.spec.n} images were bought and are booked; the rest failed."
            raise BackendFailed(replace(failure, message=f"{counted} {failure.message}", drawn=True))

    @property
    def plan(self) -> Plan:
        """The plan of the first images."""
        return self.generations[0][0]

    @property
    def generation(self) -> Generation:
        """All images, as one generation."""
        return reduce(join, (generation for _, generation in self.generations))

    @property
    def notes(self) -> tuple[str, ...]:
        """Fields and limits of the vendor that were emulated."""
        return build_notes(
            ServedRequest(
                spec=self.request.spec,
                plan=self.plan,
                transcode=self.total.transcode,
                requested_previews=self.request.partials,
                shown_previews=self.total.previews,
            )
        )
