"""What a request is counted under.

Rule: every mark is a word of the settings or of an enum here, never a caller's, so that nobody can make the counters
grow. What does not apply, or is nothing that the settings know, is the empty text.
"""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from service.domain.catalog import Catalog
from service.domain.image_spec import Size, Spec

AUTO = "auto"
"""A tier or size that was left to the vendor."""

SIZE_CLASSES = {1: "1mp", 2: "2mp", 4: "4mp", 8: "8mp"}
"""Size classes: at most so many times 1024x1024 pixels."""

LARGER = "over_8mp"
MEGAPIXEL = 1024 * 1024


class ApiOperation(StrEnum):
    """What was asked of the gateway."""

    GENERATE = "generate"
    EDIT = "edit"
    MODELS = "models"
    FILES = "files"
    IMAGES = "pictures"
    USAGE = "usage"
    ADMIN = "admin"
    DOCS = "docs"
    HEALTH = "health"
    UNKNOWN = "unknown"  # there is no such path, or not with this method


class Outcome(StrEnum):
    """How a request ended, as whoever runs the gateway tells cases apart."""

    SERVED = "served"
    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"  # an Idempotency-Key that cannot be honoured
    LIMITED = "limited"  # a limit of ours has no room
    NOT_CACHED = "not_cached"  # only what is kept was asked for
    MODERATED = "moderated"
    UPSTREAM_REJECTED = "upstream_rejected"  # the vendor does not let our account have it
    UPSTREAM_LIMITED = "upstream_limited"  # a limit of the vendor's
    UPSTREAM_FAILED = "upstream_failed"
    UNAVAILABLE = "unavailable"  # a part of the gateway's own does not answer, or is full
    CLIENT_GONE = "client_gone"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLabels:
    """Model and tier that were asked for; and of what was served, which backend drew it and where it came from."""

    model: str = ""
    tier: str = ""
    backend: str = ""
    cache: str = "none"


NO_LABELS = RequestLabels()


def build_labels(spec: Spec, catalog: Catalog, today: date) -> RequestLabels:
    """The marks of a request that may yet turn out to be wrong."""
    model = catalog.lookup(spec.model, today)
    if model is None:
        return NO_LABELS
    tier = (AUTO if model.tiers else "") if spec.tier is None else spec.tier
    return RequestLabels(model=model.id, tier=tier if tier in {*model.tiers, AUTO} else "")


def size_class(size: str | None) -> str:
    """The class of a size such as 1024x1024. Raises `InvalidValue` for what is none."""
    if size is None:
        return AUTO
    pixels = Size.parse(size).pixels
    return next((name for megapixels, name in SIZE_CLASSES.items() if pixels <= megapixels * MEGAPIXEL), LARGER)
