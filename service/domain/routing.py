"""The routes that can serve a request, their order, and the next step after a failure.

Rule: a backend is a candidate only if the team may use it and it can honour every demand. It honours a demand natively,
or through an emulation that loses nothing. A built-in sandbox never replaces a real backend that serves the model,
unless the team names it. So no caller gets a placeholder by accident. Randomness comes from outside, as a number. Pure.

Fails with: `RequestError`, `NotAllowed` or `ModelNotFound` if no route can serve the request.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from hashlib import sha256
from itertools import accumulate

from service.domain import errors
from service.domain.catalog import Model, Policy, Route, build_unsupported_error, too_many_references
from service.domain.errors import Failure, FailureKind
from service.domain.image_spec import Spec, required_features
from service.domain.pricing import Price, current_price
from service.domain.quotes import quote
from service.domain.team_access import UNRESTRICTED_TEAM, Team, may_use_backend

SANDBOX = "sandbox"
TRANSCODED = frozenset({"jpeg", "webp"})
EMULATED = frozenset({"output_compression"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcode:
    """A conversion in the gateway: the backend delivers png, the caller gets this format. `quality` is 0-100."""

    output_format: str
    quality: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One route for a request: its price, and the conversion that the gateway adds."""

    route: Route
    price: Price
    transcode: Transcode | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedRoute:
    """A route that is no candidate, and the error that says why."""

    route: Route
    error: errors.GatewayError


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """The plans and the rejected routes of a request, both in the order of the catalog."""

    plans: tuple[Plan, ...]
    rejected: tuple[RejectedRoute, ...]


def find_candidates(
    spec: Spec, model: Model, enabled_backends: Collection[str], today: date, team: Team = UNRESTRICTED_TEAM
) -> Candidates:
    """Build a plan for each route that can serve the spec, and an error for each other route.

    Such a route is enabled and priced, the team may use it, and it honours the spec.
    """
    serving = [route for route, _ in serving_routes(model, enabled_backends, today, team)]
    plans, rejected = [], []
    for route in model.routes:
        price = _current_price(route, enabled_backends, today)
        if price is None:
            rejected.append(
                RejectedRoute(
                    route=route, error=_unavailable_error(route, is_enabled=route.backend in enabled_backends)
                )
            )
            continue
        error = find_unsupported(spec, route) if route in serving else _barred_error(route, team)
        if error:
            rejected.append(RejectedRoute(route=route, error=error))
        else:
            plans.append(build_plan(spec, route, price))
    return Candidates(plans=tuple(plans), rejected=tuple(rejected))


def require_plans(spec: Spec, model: Model, candidates: Candidates) -> tuple[Plan, ...]:
    """Return the plans of the candidates.

    Raises:
        RequestError: no route can honour the whole request; the error names the field.
        NotAllowed: only routes that the team may not use could honour it.
        ModelNotFound: no enabled backend serves this model.
    """
    if candidates.plans:
        return candidates.plans
    barred = [rejection for rejection in candidates.rejected if isinstance(rejection.error, errors.NotAllowed)]
    refused = [rejection.error for rejection in candidates.rejected if isinstance(rejection.error, errors.RequestError)]
    if refused and all(find_unsupported(spec, rejection.route) for rejection in barred):
        raise refused[0]
    if barred:
        raise errors.NotAllowed(f"{barred[0].error.message[:-1]}, and no other one can draw this.", param="model")
    raise errors.ModelNotFound(f"No backend that is switched on serves the model '{model.id}'.", param="model")


def serving_routes(
    model: Model, enabled_backends: Collection[str], today: date, team: Team = UNRESTRICTED_TEAM
) -> tuple[tuple[Route, Price], ...]:
    """Return the routes, with their prices, that a team's requests for a model may take."""
    priced = [(route, price) for route in model.routes if (price := _current_price(route, enabled_backends, today))]
    allowed = [(route, price) for route, price in priced if may_use_backend(team, route.backend)]
    competing = allowed if SANDBOX in team.backends else priced
    has_real_backend = any(route.backend != SANDBOX for route, _ in competing)
    return tuple((route, price) for route, price in allowed if not has_real_backend or route.backend != SANDBOX)


def _current_price(route: Route, enabled_backends: Collection[str], today: date) -> Price | None:
    return current_price(route.prices, today) if route.backend in enabled_backends else None


def _unavailable_error(route: Route, *, is_enabled: bool) -> errors.ModelNotFound:
    text = "has no price that is in effect" if is_enabled else "is not switched on"
    return errors.ModelNotFound(f"The backend '{route.backend}' {text}.", param="model")


def _barred_error(route: Route, team: Team) -> errors.GatewayError:
    if may_use_backend(team, route.backend):
        return errors.ModelNotFound(
            "The sandbox stands in only where no other backend serves the model.", param="model"
        )
    return errors.NotAllowed(f"Team '{team.name}' may not use the backend '{route.backend}'.", param="model")


def find_unsupported(spec: Spec, route: Route) -> errors.RequestError | None:
    """Return why this route cannot honour the spec, or None."""
    backend_name = f"provider {route.backend}"
    for name in required_features(spec):
        if name not in route.carries and not _is_emulated(name, spec, route):
            value = f" with the value '{spec.tier}'" if name == "quality" and route.delivers else ""
            return build_unsupported_error(name, backend_name + value)
    if spec.output_format not in route.formats and not ("png" in route.formats and spec.output_format in TRANSCODED):
        return build_unsupported_error("output_format", f"{backend_name} with the value '{spec.output_format}'")
    reference_problem = too_many_references(spec, route.max_references)
    if reference_problem:
        return errors.InvalidValue(
            f"{reference_problem[:-1]} with {backend_name}.", param="image", code="invalid_value"
        )
    size_problem = route.sizes.problem(spec.size) if route.sizes and spec.size else None
    if size_problem:
        return errors.InvalidValue(f"{size_problem[:-1]} with {backend_name}.", param="size", code="invalid_value")
    return None


def _is_emulated(name: str, spec: Spec, route: Route) -> bool:
    """Tell whether the gateway honours this demand although the route does not carry the field."""
    if name == "quality":
        return spec.tier == route.delivers
    return name in EMULATED and "png" in route.formats


def build_plan(spec: Spec, route: Route, price: Price) -> Plan:
    """Build the plan of a route, with the conversion that the gateway has to do for it."""
    native = spec.output_format in route.formats
    compressed_here = spec.output_compression is not None and "output_compression" not in route.carries
    if native and not compressed_here:
        return Plan(route=route, price=price)
    quality = 100 if spec.output_compression is None else spec.output_compression
    return Plan(route=route, price=price, transcode=Transcode(output_format=spec.output_format, quality=quality))


def split(spec: Spec, plan: Plan) -> tuple[Spec, ...]:
    """Split the spec into several calls if the route generates fewer images at a time."""
    if spec.n <= plan.route.max_n:
        return (spec,)
    whole, rest = divmod(spec.n, plan.route.max_n)
    counts = [plan.route.max_n] * whole + [rest] * bool(rest)
    return tuple(replace(spec, n=count) for count in counts)


def upstream_specs(spec: Spec, plan: Plan) -> tuple[Spec, ...]:
    """Return the specs of the calls of a route.

    A tier that the route always delivers is left out. An image that is transcoded here is requested as png.
    """
    upstream_spec = replace(spec, tier=None) if spec.tier == plan.route.delivers else spec
    if plan.transcode:
        upstream_spec = replace(upstream_spec, output_format="png", output_compression=None)
    return split(upstream_spec, plan)


def preview_count(spec: Spec, plan: Plan, requested: int) -> int:
    """Return the number of previews that the route is asked for.

    There are none with several images, or if the gateway would have to transcode them. Previews cost tokens. The
    sandbox has none of a model whose price counts no tokens, because its vendor has none either.
    """
    has_previews = plan.route.backend != SANDBOX or plan.price.rates is not None
    return requested if spec.n == 1 and plan.transcode is None and has_previews else 0


def max_price(spec: Spec, model: Model, plan: Plan, requested_previews: int) -> int:
    """Return the maximum price of a request with these previews along a plan, in nano-USD."""
    return quote(spec, model, plan.route, plan.price, preview_count(spec, plan, requested_previews))


def order_plans(
    plans: Sequence[Plan], spec: Spec, model: Model, number: int, requested_previews: int = 0
) -> tuple[Plan, ...]:
    """Return the plans in the order in which they are tried. `number` decides where the policy is random."""
    match model.policy:
        case Policy.CHEAPEST:
            return tuple(sorted(plans, key=lambda plan: max_price(spec, model, plan, requested_previews)))
        case Policy.WEIGHTED:
            return tuple(plans[index] for index in weighted_order([plan.route.weight for plan in plans], number))
        case _:
            return tuple(plans)


def weighted_order(weights: Sequence[int], number: int) -> tuple[int, ...]:
    """Return the indexes of weights in the random order that a `number` >= 0 stands for.

    Over as many consecutive numbers as the sum of the weights, each index comes first as often as its weight. The
    quotient orders the remaining indexes by that rule. Indexes without weight come last, in their own order.
    """
    remaining, order = [index for index, weight in enumerate(weights) if weight], list[int]()
    while remaining:
        ends = tuple(accumulate(weights[place] for place in remaining))
        number, offset = divmod(number, ends[-1])
        order.append(remaining.pop(next(at for at, end in enumerate(ends) if offset < end)))
    return (*order, *(place for place, weight in enumerate(weights) if not weight))


def request_hash(request_id: str) -> int:
    """Return the number of a request: as good as random, and equal in every replica."""
    return int.from_bytes(sha256(request_id.encode()).digest())


class NextStep(StrEnum):
    """The step after a failure.

    GIVE_UP: report to the caller. NEXT_ROUTE: the call would fail again, another route may work. LATER: another route,
    or the same one after a while.
    """

    GIVE_UP = "give_up"
    NEXT_ROUTE = "next_route"
    LATER = "later"


STEP_AFTER = {
    FailureKind.INVALID_REQUEST: NextStep.GIVE_UP,
    FailureKind.MODERATION_BLOCKED: NextStep.GIVE_UP,
    FailureKind.MODEL_NOT_FOUND: NextStep.NEXT_ROUTE,
    FailureKind.NOT_PERMITTED: NextStep.NEXT_ROUTE,
    FailureKind.AUTH_FAILED: NextStep.NEXT_ROUTE,
    FailureKind.FORBIDDEN: NextStep.NEXT_ROUTE,
    FailureKind.RATE_LIMITED: NextStep.LATER,
    FailureKind.QUOTA_EXHAUSTED: NextStep.NEXT_ROUTE,
    FailureKind.OVERLOADED: NextStep.LATER,
    FailureKind.SERVER_ERROR: NextStep.LATER,
    FailureKind.UNREACHABLE: NextStep.LATER,
    FailureKind.BUSY: NextStep.LATER,
    FailureKind.SET_ASIDE: NextStep.LATER,
    FailureKind.TIMED_OUT: NextStep.GIVE_UP,
    FailureKind.BROKEN_REPLY: NextStep.GIVE_UP,
}
"""No call is repeated that may have been billed, or that would fail the same way elsewhere."""


def step_after(failure: Failure) -> NextStep:
    """Return the step after one failure."""
    if failure.drawn:
        return NextStep.GIVE_UP
    step = STEP_AFTER[failure.kind]
    return NextStep.NEXT_ROUTE if failure.permanent and step is NextStep.LATER else step
