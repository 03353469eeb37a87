"""Port of the store of API keys that operators issue, with its audit records."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from service.domain.key_allowances import UNRESTRICTED, Allowance


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedKey:
    """A key that was issued through the admin API. Known by its digest only."""

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
    """Who did what to which key, team or store, when. `detail` is for people and holds no secret."""

    at: datetime
    actor: str
    action: str
    subject: str
    detail: str
    request_id: str


class KeyStore(Protocol):
    """Keys that were issued while running. Every change writes its audit record in the same transaction.

    Raises `LedgerUnavailable`.
    """

    async def add(self, key: IssuedKey, record: AuditRecord) -> None:
        """Keep a new key. Raises `InvalidValue` if its id is taken."""
        ...

    async def update(self, key: IssuedKey, record: AuditRecord) -> None:
        """Replace what is known about a key with the same id; once revoked it stays so. Raises `KeyNotFound`."""
        ...

    async def add_record(self, record: AuditRecord) -> None:
        """Write down what was done to something that is no key."""
        ...

    async def get(self, key_id: str) -> IssuedKey:
        """One key. Raises `KeyNotFound`."""
        ...

    async def list_keys(self, team: str | None = None) -> Sequence[IssuedKey]:
        """All keys, or those of a team, revoked and expired ones included, oldest first."""
        ...

    async def list_records(self, limit: int) -> Sequence[AuditRecord]:
        """The audit trail, newest first."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who does it, and in which request."""

    name: str
    request_id: str
