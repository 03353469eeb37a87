"""What the gateway did for a backend that could not do all by itself, in words that stay the same.

Rule: one row for each kind of emulation; a row that has nothing to say is left out. Callers may match on `name=`; what
the caller did not ask for is not noted. Pure; raises nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from service.domain.catalog import SizeAs
from service.domain.image_spec import Spec
from service.domain.routing import Plan, Transcode, preview_count, split


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedRequest:
    """How a request was, or is about to be, served; with the numbers of previews that were requested and shown."""

    spec: Spec
    plan: Plan
    transcode: Transcode | None
    requested_previews: int
    shown_previews: int


def expect_served(spec: Spec, plan: Plan, requested_previews: int) -> ServedRequest:
    """What is known before anybody is asked."""
    shown = preview_count(spec, plan, requested_previews)
    return ServedRequest(
        spec=spec, plan=plan, transcode=plan.transcode, requested_previews=requested_previews, shown_previews=shown
    )


def _transcoded(served: ServedRequest) -> str | None:
    return served.transcode.output_format if served.transcode else None


def _partials(served: ServedRequest) -> str | None:
    return "none" if served.requested_previews and not served.shown_previews else None


def _tier(served: ServedRequest) -> str | None:
    tier = served.spec.tier
    return f"{tier} by route" if tier is not None and tier == served.plan.route.delivers else None


def _size(served: ServedRequest) -> str | None:
    size, by_ratio = served.spec.size, served.plan.route.size_as is SizeAs.ASPECT_RATIO
    return f"{size.ratio} by ratio" if size and by_ratio else None


def _calls(served: ServedRequest) -> str | None:
    calls = len(split(served.spec, served.plan))
    return f"{calls} calls" if calls > 1 else None


NOTES: Mapping[str, Callable[[ServedRequest], str | None]] = {
    "transcoded": _transcoded,
    "partials": _partials,
    "tier": _tier,
    "size": _size,
    "n": _calls,
}


def build_notes(served: ServedRequest) -> tuple[str, ...]:
    """Every note that there is, as `name=text`, in the order of the table."""
    return tuple(f"{name}={text}" for name, build_note in NOTES.items() if (text := build_note(served)))
