"""Port of the backends: one call, and its reply.

Rule: a backend returns its failures, because the next step is decided from them. Every other port raises a
`GatewayError`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from service.domain.errors import Failure
from service.domain.generation import CallOutcome
from service.domain.vendor_rate_limits import RateLimit
from service.usecases.ports.requests import RequestListener, UpstreamRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The outcome of one call.

    Attributes:
        outcome: Images, or a failure.
        rate_limits: The vendor's rate limits, from the headers of its reply.
        previews: Number of previews that the listener was sent.
    """

    outcome: CallOutcome
    rate_limits: Sequence[RateLimit] = ()
    previews: int = 0


class Backend(Protocol):
    """A vendor behind its dialect, or the sandbox."""

    @property
    def accepts_links(self) -> bool:
        """Whether the backend fetches references by their https address itself."""
        ...

    async def generate(self, request: UpstreamRequest, listener: RequestListener) -> Reply:
        """Make the call, once. Raises nothing for a failure of the vendor or the network."""
        ...


Backends = Mapping[str, Backend]


class Probeable(Protocol):
    """A backend with a call that costs nothing."""

    async def probe(self) -> Failure | None:
        """Make the free call, and return its failure. Raises nothing for a failure of the vendor or the network."""
        ...
