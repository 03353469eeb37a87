"""The request of a caller, the call of a backend, and the listener of a request's progress.

Rule: requests are values. A step that adds to one (fetched references, a variant) makes a new value.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from service.domain.booking import Caller
from service.domain.cache_directives import CacheDirectives
from service.domain.catalog import Catalog, Model, Route
from service.domain.generation import Preview
from service.domain.image_spec import Spec
from service.domain.ledger import Admission, CacheStatus
from service.domain.pricing import Price


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRequest:
    """The images that one caller asks for.

    Attributes:
        spec: The images. Its `model` is the id of a model of `catalog` as soon as the request is planned.
        caller: The key, the request's id, tags and hops.
        catalog: Models and prices as they were when the request arrived.
        terms: Cache directives, Idempotency-Key and retry count.
        linked: Whether the caller wants addresses of stored images.
        partials: Number of previews that the caller wants.
        source: Cache status of the ledger entry of a generation.
    """

    spec: Spec
    caller: Caller
    catalog: Catalog
    terms: CacheDirectives
    linked: bool = False
    partials: int = 0
    source: CacheStatus = CacheStatus.BYPASS

    @property
    def model(self) -> Model:
        """The model of a planned request."""
        return self.catalog.models[self.spec.model]

    def for_missing(self, delivered: int) -> "ImageRequest":
        """Build the request for the images that are still missing. It asks for no previews."""
        if not delivered:
            return self
        return replace(self, spec=replace(self.spec, n=self.spec.n - delivered), partials=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamRequest:
    """One call of one backend.

    Attributes:
        spec: The images, within what the route can carry.
        route: The backend and its name of the model.
        price: The price from which the hold was quoted.
        request_id: The id of the caller's request.
        partials: Number of previews that the caller wants; a backend without previews ignores it.
        carried: Headers that are forwarded unchanged.
        hops: Ids of the gateways that the request has passed before this one.
    """

    spec: Spec
    route: Route
    price: Price
    request_id: str
    partials: int = 0
    carried: Mapping[str, str] = field(default_factory=dict)
    hops: tuple[str, ...] = ()


class RequestListener(Protocol):
    """Receives the progress of a request. No method raises, and only `on_preview` waits."""

    def on_admitted(self, admission: Admission) -> None:
        """Receive the state of the caller's limits, before any backend is called."""
        ...

    def on_sent(self) -> None:
        """Learn that a backend is about to be called."""
        ...

    async def on_preview(self, preview: Preview) -> None:
        """Receive a preview. The backend's stream waits meanwhile."""
        ...


class NullListener:
    """A listener that ignores everything."""

    def on_admitted(self, admission: Admission) -> None: ...
    def on_sent(self) -> None: ...
    async def on_preview(self, preview: Preview) -> None: ...


NULL_LISTENER = NullListener()
