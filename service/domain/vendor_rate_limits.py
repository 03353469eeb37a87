"""Rate limits of a vendor's account, as the vendor reported them with its last reply.

Rule: a missing or unparsable value is None.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """One limit of an account.

    Attributes:
        measure: `requests`, `images` or `tokens`.
        remaining: Remaining count.
        limit: The whole count.
        resets_in: Seconds until more is available.
    """

    measure: str
    remaining: int
    limit: int | None = None
    resets_in: float | None = None
