"""Batches of teams for background tasks, in turn, so that a round costs the same with any number of teams.

Rule: a round takes at most `BATCH_SIZE` teams in the order of their names. The next round begins after the last team.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence

BATCH_SIZE = 250  # two commands a team in 5 s are 100 commands a second; the store serves thousands


def next_batch(names: Iterable[str], after: str, limit: int = BATCH_SIZE) -> Sequence[str]:
    """Return at most `limit` names, from the one after `after` on. The first name follows the last."""
    ordered = sorted(names)
    start = bisect_right(ordered, after)
    return (ordered[start:] + ordered[:start])[:limit]
