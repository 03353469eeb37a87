"""Values that gauges show: the state of a replica and of budgets, collected every few seconds.

Rule: pure values. Times are Unix seconds, money is nano-USD.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from service.domain.quota_limits import LimitStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """Open holds of a replica, and its work that waits.

    Attributes:
        open_holds: Number of open holds by team.
        held_amounts: Held nano-USD by team.
        outbox_entries: Number of entries that wait to be written to the ledger.
        oldest_posted_at: Unix seconds at which the oldest of them was posted.
        pending_settlements: Number of settlements that Redis has not accepted yet.
    """

    open_holds: Mapping[str, int]
    held_amounts: Mapping[str, int]
    outbox_entries: int
    oldest_posted_at: float | None
    pending_settlements: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyExpiry:
    """The expiry of a key."""

    team: str
    key: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSnapshot:
    """One collection of values.

    Attributes:
        teams: Names of all teams.
        budgets: Status of budgets by team; None if Redis does not answer.
        shutdowns: Announced shutdowns of models that are still served.
        model_names: Names in the catalog by backend and the backend's name.
        version: Version of the settings in force.
    """

    taken_at: float
    teams: Sequence[str]
    backlog: Backlog
    budgets: Mapping[str, Sequence[LimitStatus]] | None
    key_expiries: Sequence[KeyExpiry]
    shutdowns: Mapping[str, date]
    model_names: Mapping[tuple[str, str], str]
    version: str
