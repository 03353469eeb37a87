"""Issued keys and the audit trail, in the ledger's database.

Rule: a change and its audit record are one transaction. A key is stored as its digest, so no row can be used to call
the gateway. An allowance is one JSON value with money in nano-USD; fields of a newer version are ignored.

Fails with: `LedgerUnavailable`; `KeyNotFound` and `InvalidValue` as the port says.
"""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Executable, Row, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from service.adapters.sql.database import Database
from service.adapters.sql.schema import audit
from service.adapters.sql.schema import keys as table
from service.domain.errors import GatewayError, InvalidValue, KeyNotFound
from service.domain.key_allowances import UNRESTRICTED, Allowance
from service.domain.quota_limits import MEASURES, Limits
from service.usecases.ports.key_store import AuditRecord, IssuedKey, KeyStore

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TIMES = frozenset({"created_at", "expires_at", "revoked_at", "at"})


class SqlKeyStore(KeyStore):
    """Issued keys and the audit trail in SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, key: IssuedKey, record: AuditRecord) -> None:
        added = self._database.insert(table).values(_key_row(key)).on_conflict_do_nothing(index_elements=[table.c.id])
        await self._write_with_record(added, record, InvalidValue(f"There is a key '{key.id}' already.", param="id"))

    async def update(self, key: IssuedKey, record: AuditRecord) -> None:
        row = _key_row(key)
        # A stale writer must not make a revoked key valid again.
        row["revoked_at"] = func.coalesce(table.c.revoked_at, row["revoked_at"])
        changed = update(table).where(table.c.id == key.id).values(row)
        await self._write_with_record(changed, record, _unknown(key.id))

    async def add_record(self, record: AuditRecord) -> None:
        await self._database.execute(insert(audit).values(_row(record)))

    async def get(self, key_id: str) -> IssuedKey:
        rows = await self._database.query(select(table).where(table.c.id == key_id))
        if not rows:
            raise _unknown(key_id)
        return _key(rows[0])

    async def list_keys(self, team: str | None = None) -> Sequence[IssuedKey]:
        statement = select(table).order_by(table.c.created_at, table.c.id)
        if team is not None:
            statement = statement.where(table.c.team == team)
        return [_key(row) for row in await self._database.query(statement)]

    async def list_records(self, limit: int) -> Sequence[AuditRecord]:
        columns = [column for column in audit.c if column is not audit.c.id]
        rows = await self._database.query(select(*columns).order_by(audit.c.id.desc()).limit(limit))
        return [AuditRecord(**_values(row)) for row in rows]

    async def _write_with_record(self, change: Executable, record: AuditRecord, otherwise: GatewayError) -> None:
        """Change one key and write the record; raise `otherwise` if the statement changes no row."""

        async def both(connection: AsyncConnection) -> None:
            if (await connection.execute(change)).rowcount == 0:
                raise otherwise
            await connection.execute(insert(audit).values(_row(record)))

        try:
            await self._database.transaction(both)
        except IntegrityError:
            raise InvalidValue("This secret was issued already.", param="digest") from None


def _unknown(key_id: str) -> KeyNotFound:
    return KeyNotFound(f"There is no key '{key_id}'.")


def _key_row(key: IssuedKey) -> dict[str, Any]:
    return _row(key) | {"allowance": _to_json(key.allowance)}


def _key(row: Row[*tuple[Any, ...]]) -> IssuedKey:
    values = _values(row)
    return IssuedKey(**values | {"allowance": _from_json(values["allowance"])})


def _to_json(allowance: Allowance) -> dict[str, Any] | None:
    if allowance == UNRESTRICTED:
        return None
    return {
        "models": sorted(allowance.models),
        "tiers": sorted(allowance.tiers),
        "limits": _numbers(allowance.limits),
        "limits_by_tier": {tier: _numbers(limits) for tier, limits in allowance.limits_by_tier.items()},
    }


def _numbers(limits: Limits) -> dict[str, int]:
    return {name: number for name, number in asdict(limits).items() if number is not None}


def _from_json(written: dict[str, Any] | None) -> Allowance:
    if written is None:
        return UNRESTRICTED
    return Allowance(
        models=frozenset(written["models"]),
        tiers=frozenset(written["tiers"]),
        limits=_limits(written["limits"]),
        limits_by_tier={tier: _limits(numbers) for tier, numbers in written["limits_by_tier"].items()},
    )


def _limits(numbers: dict[str, int]) -> Limits:
    return Limits(**{name: number for name, number in numbers.items() if name in MEASURES})


def _row(value: IssuedKey | AuditRecord) -> dict[str, Any]:
    """Convert a value to a row, with times as microseconds since 1970."""
    return {
        name: (field - EPOCH) // timedelta(microseconds=1) if isinstance(field, datetime) else field
        for name, field in asdict(value).items()
    }


def _values(row: Row[*tuple[Any, ...]]) -> dict[str, Any]:
    """Convert a row to values, with microseconds since 1970 as times."""
    return {
        name: EPOCH + timedelta(microseconds=value) if name in TIMES and value is not None else value
        for name, value in row._mapping.items()  # noqa: SLF001 (the documented name, underscored against clashes)
    }
