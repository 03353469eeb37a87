"""The attempts of one request: what was tried, what was bought, and what all of it cost.

Rule: what was bought is posted whatever becomes of the rest. Whether the caller gets it without the rest is the
operator's choice.
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
    """Seconds that a request waits for backends in all, and whether some of its images are better than none."""

    wait_seconds: float
    some: bool = False


@dataclass(slots=True)
class Attempts:
    """The attempts of a request so far. `total` sums up costs in nano-USD, `waited` seconds."""

    request: ImageRequest
    plans: Sequence[Plan]
    policy: RetryPolicy
    tried: list[FailedAttempt] = field(default_factory=list)
    bought: list[tuple[Plan, Generation]] = field(default_factory=list)
    total: AttemptResult = field(default_factory=AttemptResult)
    waited: float = 0.0

    @property
    def images(self) -> int:
        """Number of images that were bought."""
        return sum(len(purchase.images) for _, purchase in self.bought)

    @property
    def rest(self) -> ImageRequest:
        """The request for what is still missing."""
        return self.request.for_missing(self.images)

    def next(self, admission: AdmissionControl) -> PlannedAttempt | Failure:
        """Return the next plan and the wait before it, or the failure that ends the request.

        Missing images are asked for at the backend that the others came from.
        """
        plans = [plan for plan, _ in self.bought[:1]] or self.plans
        ways = [
            RouteState(
                plan=plan,
                blocked_by=admission.blocked_by(plan.route),
                consecutive_failures=admission.consecutive_failures(plan.route),
            )
            for plan in plans
        ]
        return next_step(ways, self.tried, self.policy.wait_seconds - self.waited)

    def add(self, plan: Plan, result: AttemptResult) -> None:
        """Add the result of an attempt."""
        self.total += result
        if result.failure:
            self.tried.append(FailedAttempt(plan=plan, failure=result.failure))
        if result.purchase:
            self.bought.append((plan, result.purchase))

    def accept_partial_or_raise(self, failure: Failure) -> None:
        """Accept that nothing more will come. Raises `BackendFailed` unless the images so far are enough."""
        if not self.images:
            raise BackendFailed(failure)
        if not self.policy.some:
            counted = f"{self.images} of {self.request.spec.n} images were bought and are booked; the rest failed."
            raise BackendFailed(replace(failure, message=f"{counted} {failure.message}", drawn=True))

    @property
    def plan(self) -> Plan:
        """The plan that the first images came by."""
        return self.bought[0][0]

    @property
    def purchase(self) -> Generation:
        """All images, as one purchase."""
        return reduce(join, (purchase for _, purchase in self.bought))

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
