"""`image-gateway keys`: make keys for teams.yaml, and issue, replace and end keys while the gateway runs.

Rule: a secret is printed once, by the command that makes it. Running gateways learn of a change within seconds.
"""

from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from service.adapters.sql.engine import Database
from service.adapters.sql.keys import SqlKeyStore
from service.commands.terminal import (
    ConfigOption,
    DataOption,
    TeamOption,
    actor,
    add_column,
    config_folder,
    known_teams,
    out,
    told,
)
from service.domain.spans import parse_moment
from service.domain.teams import digest_of
from service.parts import mint, new_secret, now
from service.settings.models import read_catalog
from service.usecases.accounts import IssuedKey
from service.usecases.issue_keys import DAY, IssueKeys, NewKey

keys = typer.Typer(no_args_is_help=True, help="Make, issue, replace and end API keys.")

DATA = Path("data")
NEVER = "never"
COLUMNS = ("id", "team", "state", "created", "expires", "note")
KeyId = Annotated[str, typer.Argument(help="The id of an issued key.")]
ExpiresOption = Annotated[str | None, typer.Option("--expires", help="A date or date-time; without it, no end.")]


@keys.command("new")
def new_key() -> None:
    """Print a new key, once, and the digest that goes into teams.yaml."""
    secret = new_secret()
    out.print(f"key:    {secret}")
    out.print(f"sha256: {digest_of(secret)}")


@keys.command("issue")
def issue_key(
    team: Annotated[str, typer.Argument(help="A team of teams.yaml.")],
    note: Annotated[str, typer.Option("--note", help="What it is for.")] = "",
    expires: ExpiresOption = None,
    config: ConfigOption = None,
    data_dir: DataOption = DATA,
) -> None:
    """Issue a key for a team; running gateways know it within seconds. Its secret is printed once."""

    async def story(database: Database) -> None:
        issue = _issuing(database, config, data_dir)
        _print_new(await issue.issue(actor(), team, note, _moment(expires, "expires")))

    told(story, data_dir)


@keys.command("list")
def list_keys(team: TeamOption = None, data_dir: DataOption = DATA) -> None:
    """List issued keys, those that have ended included."""

    async def story(database: Database) -> None:
        issue = _issuing(database, None, data_dir)
        lines = [_cells(issue, key) for key in await issue.list(team)]
        table = Table(box=None, pad_edge=False)
        for at, name in enumerate(COLUMNS):
            add_column(table, name, [line[at] for line in lines])
        for line in lines:
            table.add_row(*(escape(text) for text in line))
        out.print(table)

    told(story, data_dir)


@keys.command("rotate")
def rotate_key(
    key_id: KeyId,
    overlap: Annotated[int, typer.Option("--overlap", help="Seconds that the old key goes on beside the new.")] = DAY,
    expires: ExpiresOption = None,
    config: ConfigOption = None,
    data_dir: DataOption = DATA,
) -> None:
    """Issue a new key in place of one, which ends after the overlap."""

    async def story(database: Database) -> None:
        issue = _issuing(database, config, data_dir)
        new, old = await issue.rotate(actor(), key_id, overlap, _moment(expires, "expires"))
        _print_new(new)
        out.print(f"{old.id} ends at {_shown(old.expires_at)}")

    told(story, data_dir)


@keys.command("expire")
def expire_key(
    key_id: KeyId,
    at: Annotated[str, typer.Option("--at", help=f"A date or date-time in the future, or `{NEVER}`.")],
    data_dir: DataOption = DATA,
) -> None:
    """Let a key end at a time to come, or not at all."""

    async def story(database: Database) -> None:
        end = None if at == NEVER else _moment(at, "at")
        key = await _issuing(database, None, data_dir).expire(actor(), key_id, end)
        out.print(f"{key.id} ends at {_shown(key.expires_at)}")

    told(story, data_dir)


@keys.command("revoke")
def revoke_key(key_id: KeyId, data_dir: DataOption = DATA) -> None:
    """End a key for good; running gateways refuse it within seconds."""

    async def story(database: Database) -> None:
        key = await _issuing(database, None, data_dir).revoke(actor(), key_id)
        out.print(f"{key.id} was revoked at {_shown(key.revoked_at)}")

    told(story, data_dir)


def _issuing(database: Database, config: Path | None, data_dir: Path) -> IssueKeys:
    return IssueKeys(
        store=SqlKeyStore(database),
        teams=lambda: _teams(config, data_dir),
        now=now,
        secret=new_secret,
        mint=mint,
    )


def _teams(config: Path | None, data_dir: Path) -> Collection[str]:
    folder = config_folder(config)
    return known_teams(folder, read_catalog(folder / "models.yaml", now().date()), data_dir)


def _print_new(new: NewKey) -> None:
    out.print(f"id:      {new.key.id}")
    out.print(f"key:     {new.secret}")
    out.print(f"team:    {escape(new.key.team)}")
    out.print(f"expires: {_shown(new.key.expires_at)}")


def _cells(issue: IssueKeys, key: IssuedKey) -> tuple[str, ...]:
    return key.id, key.team, issue.state(key), _shown(key.created_at), _shown(key.expires_at), key.note


def _moment(text: str | None, option: str) -> datetime | None:
    return None if text is None else parse_moment(text, option)


def _shown(at: datetime | None) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if at else NEVER
