"""How much more a vendor's account may be asked for, as the vendor said with its last answer.

Rule: pure. What a vendor did not say is None; what it said in words that nobody understands was not said.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """What is left of a vendor's limit on `measure` (requests, images or tokens), and when there is more.

    `resets_in` is in seconds from now; `limit` and `remaining` are counts.
    """

    measure: str
    remaining: int
    limit: int | None = None
    resets_in: float | None = None
