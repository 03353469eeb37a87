"""What the gateway did for a backend that could not do all by itself, in words that stay the same.

Rule: one row for each kind of emulation; a row that has nothing to say is left out. Callers may match on `name=`; what
the caller did not ask for is not noted. Pure; raises nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from service.domain.catalog import SizeAs
from service.domain.images import Spec
from service.domain.routing import Plan, Transcode, previews, split


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """How a request was, or is about to be, served: `partials` previews were wanted, so many were `shown`."""

    spec: Spec
    plan: Plan
    transcode: Transcode | None
    partials: int
    shown: int


def expected(spec: Spec, plan: Plan, partials: int) -> Served:
    """What is known before anybody is asked."""
    shown = previews(spec, plan, partials)
    return Served(spec=spec, plan=plan, transcode=plan.transcode, partials=partials, shown=shown)


def _transcoded(served: Served) -> str | None:
    return served.transcode.output_format if served.transcode else None


def _partials(served: Served) -> str | None:
    return "none" if served.partials and not served.shown else None


def _tier(served: Served) -> str | None:
    tier = served.spec.tier
    return f"{tier} by route" if tier is not None and tier == served.plan.route.delivers else None


def _size(served: Served) -> str | None:
    size, by_ratio = served.spec.size, served.plan.route.size_as is SizeAs.ASPECT_RATIO
    return f"{size.ratio} by ratio" if size and by_ratio else None


def _calls(served: Served) -> str | None:
    calls = len(split(served.spec, served.plan))
    return f"{calls} calls" if calls > 1 else None


NOTES: Mapping[str, Callable[[Served], str | None]] = {
    "transcoded": _transcoded,
    "partials": _partials,
    "tier": _tier,
    "size": _size,
    "n": _calls,
}


def notes(served: Served) -> tuple[str, ...]:
    """Every note that there is, as `name=text`, in the order of the table."""
    return tuple(f"{name}={text}" for name, tell in NOTES.items() if (text := tell(served)))
