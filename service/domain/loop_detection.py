"""The header that lists the gateways a request has passed, and the check for loops.

Rule: each call of a backend carries the ids that its request came with, and this gateway's id. All replicas of a
gateway have one id, which is random and says nothing about the gateway. The check comes before any lookup or hold.
Pure.

Fails with: `LoopDetected` for a request that carries this gateway's id, or too many ids; `InvalidValue` for a header
that cannot be read.
"""

import re

from service.domain.errors import InvalidValue, LoopDetected

HEADER = "x-gateway-hops"
MAX_HOPS = 8
ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def parse_hops(text: str | None, own_id: str) -> tuple[str, ...]:
    """Return the ids of the gateways that a request has passed, in order."""
    hops = tuple(hop.strip() for hop in text.split(",")) if text else ()
    if len(hops) > MAX_HOPS:
        raise LoopDetected(f"This request has passed more than {MAX_HOPS} gateways.")
    if not all(ID.fullmatch(hop) for hop in hops):
        raise InvalidValue(f"{HEADER} is written by gateways: ids with commas between them.", param=HEADER)
    if own_id in hops:
        raise LoopDetected("This request has passed this gateway before: a backend leads back here, directly or not.")
    return hops


def build_hops_header(hops: tuple[str, ...], own_id: str) -> dict[str, str]:
    """Build the header for a call of a backend."""
    return {HEADER: ",".join((*hops, own_id))}
