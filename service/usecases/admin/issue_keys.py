"""API keys that operators issue, replace, change and revoke while the gateway runs.

Rule: a secret is returned once, by the call that makes it; only its digest is stored. Each change and its audit record
are one transaction. A key that has ended stays on the list and cannot be activated again.

Fails with: `InvalidValue`, which names the parameter; `KeyNotFound`; `LedgerUnavailable`, and then nothing was changed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TypedDict

from service.domain.catalog import Catalog
from service.domain.did_you_mean import did_you_mean
from service.domain.errors import InvalidValue, KeyNotFound, MissingParameter
from service.domain.key_allowances import UNRESTRICTED, Allowance, describe
from service.domain.quota_limits import Limits
from service.domain.team_access import Team, check_allowance, key_digest
from service.usecases.ports.key_store import Actor, AuditRecord, IssuedKey, KeyStore

MAX_NOTE_LENGTH = 200
MAX_OVERLAP_SECONDS = 90 * 24 * 3600
DAY = 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key with its secret, which is not stored."""

    key: IssuedKey
    secret: str


class KeyChanges(TypedDict, total=False):
    """The changed fields of a key. A missing field is not changed."""

    expires_at: datetime | None
    models: frozenset[str]
    tiers: frozenset[str]
    limits: Limits
    limits_by_tier: Mapping[str, Limits]


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueKeys:
    """The keys of all teams.

    Attributes:
        keys_in_file: Returns the team of each key of `teams.yaml`, by id.
        file: Path of `teams.yaml`, for messages.
        teams: Returns the teams in force.
        catalog: Returns the catalog in force.
        now: Returns an aware UTC time.
        new_secret: Makes a secret that cannot be guessed.
        new_id: Makes 32 random hex digits.
    """

    store: KeyStore
    keys_in_file: Callable[[], Mapping[str, str]]
    file: str
    teams: Callable[[], Mapping[str, Team]]
    catalog: Callable[[], Catalog]
    now: Callable[[], datetime]
    new_secret: Callable[[], str]
    new_id: Callable[[], str]

    async def issue(
        self,
        actor: Actor,
        team: str,
        note: str = "",
        expires_at: datetime | None = None,
        allowance: Allowance = UNRESTRICTED,
    ) -> NewKey:
        """Issue a key for a team."""
        self.check(team, note, expires_at, allowance)
        new = self._build_key(team, note, expires_at, allowance)
        await self.store.add(new.key, self._record(actor, "issue", new.key, _describe_key(new.key)))
        return new

    def check(self, team: str, note: str, expires_at: datetime | None, allowance: Allowance) -> None:
        """Raise `InvalidValue` for a key that `issue` would refuse, without a call of the store."""
        _check_note(note)
        self._check_expiry(expires_at)
        self._team(team)
        self._check_allowance(team, allowance)

    async def rotate(
        self, actor: Actor, key_id: str, overlap_seconds: float = DAY, expires_at: datetime | None = None
    ) -> tuple[NewKey, IssuedKey]:
        """Replace a key by one with its team and allowance. The old key ends within `overlap_seconds`."""
        if not 0 <= overlap_seconds <= MAX_OVERLAP_SECONDS:
            raise InvalidValue(f"The overlap is 0 to {MAX_OVERLAP_SECONDS} seconds.", param="overlap_seconds")
        self._check_expiry(expires_at)
        old = await self._usable(key_id)
        ends_at = self.now() + timedelta(seconds=overlap_seconds)
        new = self._build_key(old.team, old.note, expires_at, old.allowance)
        await self.store.add(
            new.key, self._record(actor, "rotate", new.key, f"replaces {old.id}; {_describe_key(new.key)}")
        )
        old_key = replace(old, expires_at=min(ends_at, old.expires_at or ends_at))
        detail = f"replaced by {new.key.id}; {_describe_expiry(old_key)}"
        await self.store.update(old_key, self._record(actor, "expire", old_key, detail))
        return new, old_key

    async def expire(self, actor: Actor, key_id: str, at: datetime | None) -> IssuedKey:
        """Set the expiry of a key to a time in the future; None removes the expiry."""
        return await self.change(actor, key_id, {"expires_at": at})

    async def change(self, actor: Actor, key_id: str, changes: KeyChanges) -> IssuedKey:
        """Change the expiry or the allowance of a key."""
        if not changes:
            raise MissingParameter(f"Nothing is to be changed. It can be: {', '.join(KeyChanges.__annotations__)}.")
        ends = "expires_at" in changes
        self._check_expiry(changes.get("expires_at"))
        key = await self._usable(key_id)
        allowance = Allowance(
            models=changes.get("models", key.allowance.models),
            tiers=changes.get("tiers", key.allowance.tiers),
            limits=changes.get("limits", key.allowance.limits),
            limits_by_tier=changes.get("limits_by_tier", key.allowance.limits_by_tier),
        )
        if allowance != key.allowance:
            self._check_allowance(key.team, allowance)
        changed = replace(key, expires_at=changes["expires_at"] if ends else key.expires_at, allowance=allowance)
        action = "expire" if ends and len(changes) == 1 else "change"
        await self.store.update(changed, self._record(actor, action, changed, _describe_key(changed)))
        return changed

    async def revoke(self, actor: Actor, key_id: str) -> IssuedKey:
        """Revoke a key at once. A key that was revoked before keeps its time."""
        key = await self.get(key_id)
        changed = replace(key, revoked_at=key.revoked_at or self.now())
        detail = "was revoked before" if key.revoked_at else "from now on"
        await self.store.update(changed, self._record(actor, "revoke", changed, detail))
        return changed

    async def list_keys(self, team: str | None = None) -> Sequence[IssuedKey]:
        """Return all keys that were issued, or those of a team. Raises `InvalidValue` for an unknown team."""
        keys = await self.store.list_keys(team)
        if team is not None and not keys and team not in self.teams():
            raise InvalidValue(
                f"There is no such team, nor a key of one.{did_you_mean(team, self.teams())}", param="team"
            )
        return keys

    def state(self, key: IssuedKey) -> str:
        """Return the state of a key: active, expired or revoked."""
        if key.revoked_at:
            return "revoked"
        return "expired" if key.expires_at and key.expires_at <= self.now() else "active"

    async def get(self, key_id: str) -> IssuedKey:
        """Return an issued key. Raises `KeyNotFound`, which names the file of a key in `teams.yaml`."""
        try:
            return await self.store.get(key_id)
        except KeyNotFound:
            team = self.keys_in_file().get(key_id)
            if team is None:
                raise
            raise KeyNotFound(
                f"Key '{key_id}' was not issued. It stands in {self.file}, under team '{team}': change it there.",
                param="key_id",
            ) from None

    async def _usable(self, key_id: str) -> IssuedKey:
        key = await self.get(key_id)
        state = self.state(key)
        if state != "active":
            raise InvalidValue(f"Key '{key.id}' is {state}; issue a new one.", param="key_id")
        return key

    def _check_allowance(self, team: str, allowance: Allowance) -> None:
        if allowance != UNRESTRICTED:
            check_allowance(allowance, self._team(team), self.catalog())

    def _team(self, name: str) -> Team:
        team = self.teams().get(name)
        if team is None:
            near = did_you_mean(name, self.teams())
            raise InvalidValue(f"There is no such team in teams.yaml.{near}", param="team")
        return team

    def _build_key(self, team: str, note: str, expires_at: datetime | None, allowance: Allowance) -> NewKey:
        self._team(team)
        secret = self.new_secret()
        key = IssuedKey(
            id=f"key_{self.new_id()[:16]}",
            team=team,
            digest=key_digest(secret),
            note=note,
            created_at=self.now(),
            expires_at=expires_at,
            allowance=allowance,
        )
        return NewKey(key=key, secret=secret)

    def _check_expiry(self, at: datetime | None) -> None:
        if at is not None and at <= self.now():
            raise InvalidValue("The end of a key has to lie in the future; revoke ends it now.", param="expires_at")

    def _record(self, actor: Actor, action: str, key: IssuedKey, detail: str) -> AuditRecord:
        return AuditRecord(
            at=self.now(),
            actor=actor.name,
            action=f"key.{action}",
            subject=key.id,
            detail=f"team {key.team}; {detail}",
            request_id=actor.request_id,
        )


def _check_note(note: str) -> None:
    if len(note) > MAX_NOTE_LENGTH or not note.isprintable():
        raise InvalidValue(f"A note is one line of at most {MAX_NOTE_LENGTH} characters.", param="note")


def _describe_key(key: IssuedKey) -> str:
    """Describe expiry and allowance of a key, for the audit record."""
    return "; ".join(part for part in (_describe_expiry(key), describe(key.allowance)) if part)


def _describe_expiry(key: IssuedKey) -> str:
    return f"until {key.expires_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if key.expires_at else "without end"
