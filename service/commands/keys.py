"""`image-gateway keys`: keys for teams.yaml, and issued keys, which change while the gateway runs.

Rule: the command that generates a secret prints it once. Running gateways apply a change within seconds.

Fails with: one line on standard error and exit code 2.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from service.adapters.sql.database import Database
from service.adapters.sql.key_store import SqlKeyStore
from service.commands.common import (
    ConfigOption,
    DataOption,
    Output,
    OutputOption,
    TeamOption,
    add_column,
    config_folder,
    database_url,
    open_ledger,
    print_rows,
    read_team_directory,
    run_command,
    run_on_ledger,
    stdout,
    terminal_actor,
)
from service.composition.app_config import new_id, new_key_secret, now
from service.domain.catalog import Catalog
from service.domain.errors import InvalidValue
from service.domain.key_allowances import Allowance, describe, parse_limits
from service.domain.quota_limits import NO_LIMITS, Limits
from service.domain.team_access import TeamDirectory, key_digest
from service.domain.time_ranges import parse_moment
from service.settings.models import read_catalog
from service.usecases.admin.issue_keys import DAY, IssueKeys, KeyChanges, NewKey
from service.usecases.ports.key_store import IssuedKey

keys = typer.Typer(no_args_is_help=True, help="Generate, issue, replace and end API keys.")

DATA = Path("data")
NEVER = "never"
ALL = "all that its team may"
CLEARING_CHANGES: Mapping[str, KeyChanges] = {
    "limits": {"limits": NO_LIMITS},
    "limits_by_tier": {"limits_by_tier": {}},
    "models": {"models": frozenset()},
    "tiers": {"tiers": frozenset()},
}
FIELDS = ("id", "team", "state", "created_at", "expires_at", "may_use", "note")
COLUMNS = ("id", "team", "state", "created", "expires", "may use", "note")
KeyId = Annotated[str, typer.Argument(help="Id of an issued key.")]
ExpiresOption = Annotated[str | None, typer.Option("--expires", help="Date or time of the end; none by default.")]
LimitOption = Annotated[
    list[str] | None, typer.Option("--limit", help="Limit of the key, such as usd_per_day=5. Repeatable.")
]
TierLimitOption = Annotated[
    list[str] | None,
    typer.Option("--tier-limit", help="Limit of the key in a tier, such as high:usd_per_day=2. Repeatable."),
]
ModelOption = Annotated[
    list[str] | None, typer.Option("--model", help="Model of the team that the key may use. Repeatable.")
]
TierOption = Annotated[
    list[str] | None, typer.Option("--tier", help="Tier of the team that the key may use. Repeatable.")
]


@keys.command("new")
def new_key() -> None:
    """Print a new key, once, and its digest for teams.yaml."""
    secret = new_key_secret()
    stdout.print(f"key:    {secret}")
    stdout.print(f"sha256: {key_digest(secret)}")


@keys.command("issue")
def issue_key(  # noqa: PLR0913, PLR0917 (a command's options)
    team: Annotated[str, typer.Argument(help="Team of teams.yaml.")],
    note: Annotated[str, typer.Option("--note", help="Purpose of the key.")] = "",
    expires: ExpiresOption = None,
    limit: LimitOption = None,
    tier_limit: TierLimitOption = None,
    model: ModelOption = None,
    tier: TierOption = None,
    create: Annotated[bool, typer.Option("--create", help="Create the ledger if there is none.")] = False,  # noqa: FBT002
    config: ConfigOption = None,
    data_dir: DataOption = DATA,
) -> None:
    """Issue a key for a team, and print its secret once. Running gateways accept it within seconds."""

    async def run() -> None:
        allowance = Allowance(
            models=frozenset(model or ()),
            tiers=frozenset(tier or ()),
            limits=_parse_limits(limit or (), "limit"),
            limits_by_tier=_parse_limits_by_tier(tier_limit or ()),
        )
        end = _parse_expiry(expires, "expires")
        # A `Database` opens nothing by itself, so a refused key leaves no ledger behind.
        _open_issue_keys(Database(database_url(data_dir)), config, data_dir).check(team, note, end, allowance)
        async with open_ledger(data_dir, create=create, advice=" --create makes it there.") as database:
            _print_new(
                await _open_issue_keys(database, config, data_dir).issue(terminal_actor(), team, note, end, allowance)
            )

    run_command(run())


@keys.command("list")
def list_keys(
    team: TeamOption = None,
    output: OutputOption = Output.TABLE,
    config: ConfigOption = None,
    data_dir: DataOption = DATA,
) -> None:
    """List issued keys, including those that have ended."""

    async def run(database: Database) -> None:
        issue = _open_issue_keys(database, config, data_dir)
        issued = await issue.list_keys(team)
        rows = [
            (
                *_cells(issue, key)[:4],
                key.expires_at and _format_time(key.expires_at),
                describe(key.allowance),
                key.note,
            )
            for key in issued
        ]
        print_rows(FIELDS, rows, output, lambda: _table([_cells(issue, key) for key in issued]))

    run_on_ledger(run, data_dir)


@keys.command("rotate")
def rotate_key(
    key_id: KeyId,
    overlap: Annotated[int, typer.Option("--overlap", help="Seconds for which the old key stays valid.")] = DAY,
    expires: ExpiresOption = None,
    config: ConfigOption = None,
    data_dir: DataOption = DATA,
) -> None:
    """Issue a new key in place of an old one, which ends after the overlap."""

    async def run(database: Database) -> None:
        issue = _open_issue_keys(database, config, data_dir)
        new, old = await issue.rotate(terminal_actor(), key_id, overlap, _parse_expiry(expires, "expires"))
        _print_new(new)
        stdout.print(f"{old.id} ends at {_format_time(old.expires_at)}")

    run_on_ledger(run, data_dir)


@keys.command("change")
def change_key(  # noqa: PLR0913, PLR0917 (a command's options)
    key_id: KeyId,
    limit: LimitOption = None,
    tier_limit: TierLimitOption = None,
    model: ModelOption = None,
    tier: TierOption = None,
    clear: Annotated[
        list[str] | None,
        typer.Option("--clear", help=f"Remove a restriction of the key: {', '.join(CLEARING_CHANGES)}. Repeatable."),
    ] = None,
    config: ConfigOption = None,
    data_dir: DataOption = DATA,
) -> None:
    """Replace the restrictions of a key, option by option. Running gateways apply them within seconds."""

    async def run(database: Database) -> None:
        changes = _to_clearing_changes(clear or ())
        if limit:
            changes["limits"] = _parse_limits(limit, "limit")
        if tier_limit:
            changes["limits_by_tier"] = _parse_limits_by_tier(tier_limit)
        if model:
            changes["models"] = frozenset(model)
        if tier:
            changes["tiers"] = frozenset(tier)
        key = await _open_issue_keys(database, config, data_dir).change(terminal_actor(), key_id, changes)
        stdout.print(f"{key.id} may use: {escape(_allowance_text(key))}")

    run_on_ledger(run, data_dir)


@keys.command("expire")
def expire_key(
    key_id: KeyId,
    at: Annotated[str, typer.Option("--at", help=f"Date or time in the future, or `{NEVER}`.")],
    config: ConfigOption = None,
    data_dir: DataOption = DATA,
) -> None:
    """Set the end of a key to a later time, or remove it."""

    async def run(database: Database) -> None:
        end = None if at == NEVER else _parse_expiry(at, "at")
        key = await _open_issue_keys(database, config, data_dir).expire(terminal_actor(), key_id, end)
        stdout.print(f"{key.id} ends at {_format_time(key.expires_at)}")

    run_on_ledger(run, data_dir)


@keys.command("revoke")
def revoke_key(key_id: KeyId, config: ConfigOption = None, data_dir: DataOption = DATA) -> None:
    """Revoke a key for good. Running gateways refuse it within seconds."""

    async def run(database: Database) -> None:
        key = await _open_issue_keys(database, config, data_dir).revoke(terminal_actor(), key_id)
        stdout.print(f"{key.id} was revoked at {_format_time(key.revoked_at)}")

    run_on_ledger(run, data_dir)


def _open_issue_keys(database: Database, config: Path | None, data_dir: Path) -> IssueKeys:
    # Files are read once, and only by a command that needs them.
    folder = config_folder(config)
    read_config = cache(lambda: _read_config(folder, data_dir))
    return IssueKeys(
        store=SqlKeyStore(database),
        teams=lambda: read_config()[1].teams,
        catalog=lambda: read_config()[0],
        keys_in_file=lambda: {key.id: key.team.name for key in read_config()[1].keys.values()},
        file=str(folder / "teams.yaml"),
        now=now,
        new_secret=new_key_secret,
        new_id=new_id,
    )


def _read_config(folder: Path, data_dir: Path) -> tuple[Catalog, TeamDirectory]:
    catalog = read_catalog(folder / "models.yaml", now().date())
    return catalog, read_team_directory(folder, catalog, data_dir)


def _to_clearing_changes(names: Iterable[str]) -> KeyChanges:
    changes: KeyChanges = {}
    for name in names:
        if name not in CLEARING_CHANGES:
            raise InvalidValue(f"'{name}' is none of {', '.join(CLEARING_CHANGES)}.", param="clear")
        changes |= CLEARING_CHANGES[name]
    return changes


def _parse_limits(texts: Iterable[str], option: str) -> Limits:
    """Parse limits such as usd_per_day=5. Raises `InvalidValue`."""
    numbers: dict[str, Decimal] = {}
    for text in texts:
        name, _, number = text.partition("=")
        try:
            numbers[name] = Decimal(number)
        except InvalidOperation:
            raise InvalidValue(f"'{text}' is not a limit and a number, such as usd_per_day=5.", param=option) from None
    return parse_limits(numbers, option)


def _parse_limits_by_tier(texts: Iterable[str]) -> Mapping[str, Limits]:
    """Parse limits by tier such as high:usd_per_day=2. Raises `InvalidValue`."""
    by_tier: dict[str, list[str]] = {}
    for text in texts:
        tier, colon, limit = text.partition(":")
        if not colon:
            raise InvalidValue(f"'{text}' is not a tier and its limit, such as high:usd_per_day=2.", param="tier-limit")
        by_tier.setdefault(tier, []).append(limit)
    return {tier: _parse_limits(limits, "tier-limit") for tier, limits in by_tier.items()}


def _allowance_text(key: IssuedKey) -> str:
    return describe(key.allowance) or ALL


def _print_new(new: NewKey) -> None:
    stdout.print(f"id:      {new.key.id}")
    stdout.print(f"key:     {new.secret}")
    stdout.print(f"team:    {escape(new.key.team)}")
    stdout.print(f"expires: {_format_time(new.key.expires_at)}")
    stdout.print(f"may use: {escape(_allowance_text(new.key))}")


def _table(lines: Sequence[tuple[str, ...]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for at, name in enumerate(COLUMNS):
        add_column(table, name, [line[at] for line in lines])
    for line in lines:
        table.add_row(*(escape(text) for text in line))
    return table


def _cells(issue: IssueKeys, key: IssuedKey) -> tuple[str, ...]:
    times = _format_time(key.created_at), _format_time(key.expires_at)
    return key.id, key.team, issue.state(key), *times, _allowance_text(key), key.note


def _parse_expiry(text: str | None, option: str) -> datetime | None:
    return None if text is None else parse_moment(text, option)


def _format_time(at: datetime | None) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if at else NEVER
