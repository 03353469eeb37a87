"""Port of the backends: one call, and the value that comes of it.

Rule: a backend returns its failures, because they are decided upon and not only reported. Every other port raises a
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
        headrooms: The vendor's limits, as the headers of its reply have them.
        previews: Number of previews that the listener was sent.
    """

    outcome: CallOutcome
    headrooms: Sequence[RateLimit] = ()
    previews: int = 0


class Backend(Protocol):
    """Something that makes images."""

    @property
    def accepts_links(self) -> bool:
        """Whether a reference may be handed over as its https address, unfetched."""
        ...

    async def generate(self, request: UpstreamRequest, listener: RequestListener) -> Reply:
        """Make the call, once. Raises nothing for anything that the vendor or the network does."""
        ...


Backends = Mapping[str, Backend]


class Probeable(Protocol):
    """A backend that can be asked for something free."""

    async def probe(self) -> Failure | None:
        """What it fails at, if at anything. Never raises for anything the vendor or the network does."""
        ...
