"""Cases that every peer is measured with, and the length of the correct reply.

Rule: bytes are those of the body on the wire. Each request has its own prompt, so no cache serves it. Only the requests
of a hit have one prompt.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

KILOBYTE, MEGABYTE = 1000, 1_000_000
CONNECTIONS = (1, 32)
EVENTS = 3
REFERENCES = 16
REFERENCE_BYTES = MEGABYTE


class Kind(Enum):
    """Kind of a request. The value is the end of its path."""

    GENERATION = "generations"
    STREAM = "streamed"
    HIT = "kept"
    EDIT = "edits"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row of a table, for each number of connections.

    `length` is the length of the reply in bytes, `most` a number of requests. `slug` names the case in addresses and in
    names of models.
    """

    name: str
    slug: str
    kind: Kind
    length: int
    most: int

    @property
    def path(self) -> str:
        """Path of the call in OpenAI's API."""
        return f"/v1/images/{'edits' if self.kind is Kind.EDIT else 'generations'}"

    @property
    def model(self) -> str:
        """Name by which a peer chooses the vendor's address."""
        return f"bench-{self.slug}"


CASES: Sequence[Case] = (
    Case(name="1 KB", slug="kb1", kind=Kind.GENERATION, length=KILOBYTE, most=20_000),
    Case(name="100 KB", slug="kb100", kind=Kind.GENERATION, length=100 * KILOBYTE, most=10_000),
    Case(name="2 MB", slug="mb2", kind=Kind.GENERATION, length=2 * MEGABYTE, most=1000),
    Case(name="20 MB", slug="mb20", kind=Kind.GENERATION, length=20 * MEGABYTE, most=100),
    Case(name="edit of 16 x 1 MB", slug="edit", kind=Kind.EDIT, length=KILOBYTE, most=60),
    Case(name="3 events of 2 MB", slug="sse", kind=Kind.STREAM, length=EVENTS * 2 * MEGABYTE, most=300),
    Case(name="2 MB, kept", slug="hit", kind=Kind.HIT, length=2 * MEGABYTE, most=1000),
)
SLOW = Case(name="2 MB after 10 s", slug="slow", kind=Kind.GENERATION, length=2 * MEGABYTE, most=500)
EVERY = (*CASES, SLOW)
