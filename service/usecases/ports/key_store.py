"""Port of the store of API keys that operators issue, with its audit records.

Rule: every change writes its audit record in the same transaction.

Fails with: `LedgerUnavailable`; nothing was changed then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from service.domain.key_allowances import UNRESTRICTED, Allowance


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """The operator who makes a change, and the id of the request."""

    name: str
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedKey:
    """A key that was issued through the admin API. Only the digest of its secret is stored."""

    id: str
    team: str
    digest: str
    note: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    allowance: Allowance = UNRESTRICTED


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """One action of an operator.

    Attributes:
        subject: Id of the key, or name of the thing that was changed.
        detail: Text for people, without secrets.
    """

    at: datetime
    actor: str
    action: str
    subject: str
    detail: str
    request_id: str


class KeyStore(Protocol):
    """The issued keys. Raises `LedgerUnavailable`."""

    async def add(self, key: IssuedKey, record: AuditRecord) -> None:
        """Store a new key. Raises `InvalidValue` if its id is taken."""
        ...

    async def update(self, key: IssuedKey, record: AuditRecord) -> None:
        """Replace the key of that id. A revoked key stays revoked. Raises `KeyNotFound`."""
        ...

    async def add_record(self, record: AuditRecord) -> None:
        """Record an action that concerns no key."""
        ...

    async def get(self, key_id: str) -> IssuedKey:
        """Return one key. Raises `KeyNotFound`."""
        ...

    async def list_keys(self, team: str | None = None) -> Sequence[IssuedKey]:
        """Return all keys or those of a team, oldest first, with revoked and expired ones."""
        ...

    async def list_records(self, limit: int) -> Sequence[AuditRecord]:
        """Return the latest audit records, newest first."""
        ...
