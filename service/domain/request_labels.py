"""Metric labels of a request.

Rule: a label's values come from the settings and from enums, never from a caller, so that their number is bounded. A
label that does not apply, or whose value the settings do not know, is empty.

Fails with: `InvalidValue` for a size that cannot be read.
"""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from service.domain.catalog import Catalog
from service.domain.image_spec import Size, Spec

AUTO = "auto"
"""A tier or size that the caller left to the vendor."""

SIZE_CLASSES = {1: "1mp", 2: "2mp", 4: "4mp", 8: "8mp"}
"""Names of size classes by their maximum in units of 1024x1024 pixels."""

LARGER = "over_8mp"
MEGAPIXEL = 1024 * 1024


class ApiOperation(StrEnum):
    """The operation of a request."""

    GENERATE = "generate"
    EDIT = "edit"
    MODELS = "models"
    FILES = "files"
    IMAGES = "images"
    USAGE = "usage"
    ADMIN = "admin"
    DOCS = "docs"
    HEALTH = "health"
    UNKNOWN = "unknown"  # no such path, or not with this method


class Outcome(StrEnum):
    """The end of a request, by the cases that an operator tells apart."""

    SERVED = "served"
    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"  # an Idempotency-Key that cannot be honoured
    LIMITED = "limited"  # a limit of the gateway has no room
    NOT_CACHED = "not_cached"  # only-if-cached, and no cached result
    MODERATED = "moderated"
    UPSTREAM_REJECTED = "upstream_rejected"  # the vendor refuses this to the account
    UPSTREAM_LIMITED = "upstream_limited"  # a limit of the vendor's
    UPSTREAM_FAILED = "upstream_failed"
    UNAVAILABLE = "unavailable"  # a part of the gateway does not answer, or is full
    CLIENT_GONE = "client_gone"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLabels:
    """Labels of a request.

    Attributes:
        model: The requested model.
        tier: The requested tier.
        backend: The backend that generated the served images.
        cache: The cache status of the served images.
    """

    model: str = ""
    tier: str = ""
    backend: str = ""
    cache: str = "none"


NO_LABELS = RequestLabels()


def build_labels(spec: Spec, catalog: Catalog, today: date) -> RequestLabels:
    """Build the labels of a request that is not validated yet."""
    model = catalog.lookup(spec.model, today)
    if model is None:
        return NO_LABELS
    tier = (AUTO if model.tiers else "") if spec.tier is None else spec.tier
    return RequestLabels(model=model.id, tier=tier if tier in {*model.tiers, AUTO} else "")


def size_class(size: str | None) -> str:
    """Return the class of a size such as 1024x1024. Raises `InvalidValue` for a text that is no size."""
    if size is None:
        return AUTO
    pixels = Size.parse(size).pixels
    return next((name for megapixels, name in SIZE_CLASSES.items() if pixels <= megapixels * MEGAPIXEL), LARGER)
