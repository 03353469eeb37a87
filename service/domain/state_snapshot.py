"""What is read every few seconds for whoever watches: how things stand, rather than what happened.

Rule: pure values. Times are Unix seconds, money is nano-USD.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from service.domain.quota_limits import LimitStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What a replica has under way: open holds and what they set aside, by team, and what it still has to bring in.

    `outbox_entries` entries are on their way to the books, the oldest posted at `oldest_posted_at`;
    `pending_settlements` ends of holds are not taken.
    """

    open_holds: Mapping[str, int]
    held_amounts: Mapping[str, int]
    outbox_entries: int
    oldest_posted_at: float | None
    pending_settlements: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyExpiry:
    """When a key ends."""

    team: str
    key: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSnapshot:
    """One round. `budgets` is None where the store does not answer; `version` is that of the settings in force.

    `teams` are all there are; `shutdowns` are the announced ends of models that are still served; `model_names` is what
    the catalog calls what a backend calls otherwise.
    """

    taken_at: float
    teams: Sequence[str]
    backlog: Backlog
    budgets: Mapping[str, Sequence[LimitStatus]] | None
    key_expiries: Sequence[KeyExpiry]
    shutdowns: Mapping[str, date]
    model_names: Mapping[tuple[str, str], str]
    version: str
