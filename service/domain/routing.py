"""Which backends may draw a spec, how, and what to do after each outcome.

Rule: a backend is a candidate only if it can honour every demand, natively or through an emulation that loses nothing.
A built-in sandbox never stands in for a real backend that serves the model: nobody gets a drawn placeholder by
accident.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum

from service.domain import errors
from service.domain.catalog import Model, Route, too_many_references, unsupported
from service.domain.errors import Failure, FailureKind
from service.domain.images import Spec, demands
from service.domain.pricing import Price, in_force

SANDBOX = "sandbox"
TRANSCODED = frozenset({"jpeg", "webp"})
EMULATED = frozenset({"output_compression"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcode:
    """A picture is asked for as png and turned into this format here. `quality` is 0-100."""

    output_format: str
    quality: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How one route draws a request: at which price, and by itself or as png that is transcoded here."""

    route: Route
    price: Price
    transcode: Transcode | None = None


def candidates(spec: Spec, model: Model, backends_on: Collection[str], today: date) -> tuple[Plan, ...]:
    """Plans for every route that can honour the spec and has a price, in the order of the catalog.

    Raises:
        ModelNotFound: no backend that is on serves this model.
        RequestError: some do, but none can honour the whole request; it names the field.
    """
    priced = [(route, in_force(route.prices, today)) for route in model.routes if route.backend in backends_on]
    on = [(route, price) for route, price in priced if price]
    real = [(route, price) for route, price in on if route.backend != SANDBOX]
    if not on:
        raise errors.ModelNotFound(f"No backend that is switched on serves the model '{model.id}'.", param="model")
    plans, refusals = [], []
    for route, price in real or on:
        refused = refusal(spec, route)
        if refused:
            refusals.append(refused)
        else:
            plans.append(plan(spec, route, price))
    if not plans:
        raise refusals[0]
    return tuple(plans)


def refusal(spec: Spec, route: Route) -> errors.RequestError | None:
    """Why this route cannot honour the spec, or None."""
    whom = f"provider {route.backend}"
    developed_here = "png" in route.formats
    for name in demands(spec):
        if name not in route.carries and not (developed_here and name in EMULATED):
            return unsupported(name, whom)
    if spec.output_format not in route.formats and not (developed_here and spec.output_format in TRANSCODED):
        return unsupported("output_format", f"{whom} with the value '{spec.output_format}'")
    crowd = too_many_references(spec, route.max_references)
    if crowd:
        return errors.InvalidValue(f"{crowd[:-1]} with {whom}.", param="image", code="invalid_value")
    complaint = route.sizes.complaint(spec.size) if route.sizes and spec.size else None
    if complaint:
        return errors.InvalidValue(f"{complaint[:-1]} with {whom}.", param="size", code="invalid_value")
    return None


def plan(spec: Spec, route: Route, price: Price) -> Plan:
    """Move to the gateway what it can do for the route."""
    native = spec.output_format in route.formats
    compressed_here = spec.output_compression is not None and "output_compression" not in route.carries
    if native and not compressed_here:
        return Plan(route=route, price=price)
    quality = 100 if spec.output_compression is None else spec.output_compression
    return Plan(route=route, price=price, transcode=Transcode(output_format=spec.output_format, quality=quality))


def orders(spec: Spec, plan: Plan) -> tuple[Spec, ...]:
    """What to ask of the route: one order, or several side by side where it draws fewer at a time than are wanted."""
    asked = replace(spec, output_format="png", output_compression=None) if plan.transcode else spec
    whole, rest = divmod(spec.n, plan.route.max_n)
    counts = [plan.route.max_n] * whole + [rest] * bool(rest)
    return tuple(replace(asked, n=count) for count in counts)


class Next(StrEnum):
    """What to do after a failure."""

    GIVE_UP = "give_up"
    NEXT_ROUTE = "next_route"


AFTER = {
    FailureKind.INVALID_REQUEST: Next.GIVE_UP,
    FailureKind.MODERATION_BLOCKED: Next.GIVE_UP,
    FailureKind.MODEL_NOT_FOUND: Next.NEXT_ROUTE,
    FailureKind.NOT_PERMITTED: Next.NEXT_ROUTE,
    FailureKind.AUTH_FAILED: Next.NEXT_ROUTE,
    FailureKind.RATE_LIMITED: Next.NEXT_ROUTE,
    FailureKind.QUOTA_EXHAUSTED: Next.NEXT_ROUTE,
    FailureKind.OVERLOADED: Next.NEXT_ROUTE,
    FailureKind.SERVER_ERROR: Next.NEXT_ROUTE,
    FailureKind.UNREACHABLE: Next.NEXT_ROUTE,
    FailureKind.BUSY: Next.NEXT_ROUTE,
    FailureKind.TIMED_OUT: Next.GIVE_UP,
    FailureKind.BROKEN_REPLY: Next.GIVE_UP,
}
"""Nothing that may have been billed, and nothing that would fail the same way elsewhere, is tried again."""


def after(failure: Failure) -> Next:
    """The decision for one failure."""
    return Next.GIVE_UP if failure.drawn else AFTER[failure.kind]
