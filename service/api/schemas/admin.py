"""What requests to `/admin/v1` and their replies hold: keys that are issued, and the audit trail."""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from service.api.schemas.requests import Body
from service.domain import time_ranges
from service.domain.key_allowances import MAX_COUNT, MAX_DOLLARS
from service.usecases.admin.issue_keys import MAX_NOTE_LENGTH, MAX_OVERLAP_SECONDS

DATE_OR_TIME = f"({time_ranges.DATE_TIME.pattern}|{time_ranges.DATE.pattern})"

Expiry = Annotated[
    str | None,
    Meta(
        description="A date or an RFC 3339 date-time in the future; null: no end.",
        extra_json_schema={"pattern": f"^{DATE_OR_TIME}$"},
    ),
]


Count = Annotated[int, Meta(ge=1, le=MAX_COUNT)]
Dollars = Annotated[float, Meta(ge=0, le=int(MAX_DOLLARS))]


class LimitsBody(Body, frozen=True, kw_only=True):
    """How much may be used. What is left out is not limited."""

    requests_per_minute: Annotated[Count | None, Meta(description="Requests in any minute.")] = None
    images_per_minute: Annotated[Count | None, Meta(description="Pictures asked for in any minute.")] = None
    concurrent_images: Annotated[Count | None, Meta(description="Pictures under way at a time.")] = None
    usd_per_day: Annotated[Dollars | None, Meta(description="US dollars in a day (UTC).")] = None
    usd_per_month: Annotated[Dollars | None, Meta(description="US dollars in a month (UTC).")] = None


MODELS = Meta(description="The only models of its team's that the key may use; null: all of them.")
TIERS = Meta(description="The only tiers of its team's that the key may use; null: all of them.")
LIMITS = Meta(description="What this key alone may use, beside the limits of its team; null: no more than those.")
LIMITS_BY_TIER = Meta(description="What this key alone may use of a tier, by tier; null: no such limits.")


class IssueBody(Body, frozen=True, kw_only=True):
    """A key that is wanted."""

    team: Annotated[str, Meta(description="A team of teams.yaml.", extra_json_schema={"minLength": 1})]
    note: Annotated[
        Annotated[str, Meta(max_length=MAX_NOTE_LENGTH)] | None, Meta(description="What it is for. One line.")
    ] = None
    expires_at: Expiry = None
    models: Annotated[list[str] | None, MODELS] = None
    tiers: Annotated[list[str] | None, TIERS] = None
    limits: Annotated[LimitsBody | None, LIMITS] = None
    limits_by_tier: Annotated[dict[str, LimitsBody] | None, LIMITS_BY_TIER] = None


class RotateBody(Body, frozen=True, kw_only=True):
    """How a key is replaced."""

    overlap_seconds: Annotated[
        Annotated[int, Meta(ge=0, le=MAX_OVERLAP_SECONDS)] | None,
        Meta(description="How long the old key goes on beside the new one; null: a day."),
    ] = None
    expires_at: Expiry = None


class ChangeBody(Body, frozen=True, kw_only=True):
    """What can be changed about a key. What is left out stays as it is; at least one field is needed."""

    expires_at: Expiry | UnsetType = UNSET
    models: Annotated[list[str] | None, MODELS] | UnsetType = UNSET
    tiers: Annotated[list[str] | None, TIERS] | UnsetType = UNSET
    limits: Annotated[LimitsBody | None, LIMITS] | UnsetType = UNSET
    limits_by_tier: Annotated[dict[str, LimitsBody] | None, LIMITS_BY_TIER] | UnsetType = UNSET


LimitsReply = Mapping[str, float | int]


class KeyReply(msgspec.Struct):
    """An issued key. `state` is active, expired or revoked. Empty `models` or `tiers`: all of its team's."""

    object: Literal["key"]
    id: str
    team: str
    note: str
    state: str
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    models: list[str]
    tiers: list[str]
    limits: LimitsReply
    limits_by_tier: Mapping[str, LimitsReply]


class SecretReply(KeyReply):
    """A new key. This is the only time that its secret is shown."""

    secret: str


class RotatedReply(msgspec.Struct):
    """A key and the one that takes its place."""

    new: SecretReply
    old: KeyReply


class KeysReply(msgspec.Struct):
    """Issued keys, oldest first."""

    object: Literal["list"]
    data: list[KeyReply]


class RecordReply(msgspec.Struct):
    """Who did what to which key."""

    at: str
    actor: str
    action: str
    subject: str
    detail: str
    request_id: str


class RecordsReply(msgspec.Struct):
    """The audit trail, newest first."""

    object: Literal["list"]
    data: list[RecordReply]
