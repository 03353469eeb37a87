"""Issued keys in memory."""

from collections.abc import Sequence
from dataclasses import replace

from service.domain.errors import InvalidValue, KeyNotFound, LedgerUnavailable
from service.usecases.ports.key_store import AuditRecord, IssuedKey


class FakeKeyStore:
    """Keeps keys by id, and every record; once `down` is set, it is unavailable."""

    def __init__(self) -> None:
        self.stored: dict[str, IssuedKey] = {}
        self.audit: list[AuditRecord] = []
        self.down = False

    async def add(self, key: IssuedKey, record: AuditRecord) -> None:
        self._answer()
        if key.id in self.stored:
            raise InvalidValue(f"There is a key '{key.id}' already.", param="id")
        self._store(key, record)

    async def update(self, key: IssuedKey, record: AuditRecord) -> None:
        before = await self.get(key.id)
        self._store(replace(key, revoked_at=before.revoked_at or key.revoked_at), record)

    async def add_record(self, record: AuditRecord) -> None:
        self._answer()
        self.audit.append(record)

    async def get(self, key_id: str) -> IssuedKey:
        self._answer()
        if key_id not in self.stored:
            raise KeyNotFound(f"There is no key '{key_id}'.")
        return self.stored[key_id]

    async def list_keys(self, team: str | None = None) -> Sequence[IssuedKey]:
        self._answer()
        keys = [key for key in self.stored.values() if team in {None, key.team}]
        return sorted(keys, key=lambda key: (key.created_at, key.id))

    async def list_records(self, limit: int) -> Sequence[AuditRecord]:
        self._answer()
        return self.audit[::-1][:limit]

    def _answer(self) -> None:
        if self.down:
            raise LedgerUnavailable("The ledger of record does not answer.")

    def _store(self, key: IssuedKey, record: AuditRecord) -> None:
        if any(other.digest == key.digest for other in self.stored.values() if other.id != key.id):
            raise InvalidValue("This secret was issued already.", param="digest")
        self.stored[key.id] = key
        self.audit.append(record)
