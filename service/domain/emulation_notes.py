"""Notes for callers about emulations: work of the gateway for a backend that lacks a feature.

Rule: one row for each kind of emulation. A caller may match on `name=`, so texts are stable. A note appears only for a
feature that the caller asked for. Pure.

Fails with: nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from service.domain.catalog import SizeAs
from service.domain.image_spec import Spec
from service.domain.routing import Plan, Transcode, preview_count, split


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedRequest:
    """A request as it was, or will be, served. Previews are counted as requested and as shown."""

    spec: Spec
    plan: Plan
    transcode: Transcode | None
    requested_previews: int
    shown_previews: int


def expect_served(spec: Spec, plan: Plan, requested_previews: int) -> ServedRequest:
    """Build the expectation for a request before a backend is called."""
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
    """Return every note that applies, as `name=text`, in the order of the table."""
    return tuple(f"{name}={text}" for name, build_note in NOTES.items() if (text := build_note(served)))
