"""`image-gateway cache`: number of cached results, and their deletion.

Rule: the store is that of the gateway: `CACHE_REDIS_URL`, `REDIS_URL`, or the server of a running gateway in the data
folder. An embedded cache ends with its gateway, so a missing gateway is an error, not an empty cache. Counting needs
the store alone; a deletion is audited in the ledger. `--all` deletes all results after a confirmation; without a
terminal it needs `--yes`.

Fails with: one line on standard error and exit code 2.
"""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from service.adapters.embedded_valkey import find_running_valkey
from service.adapters.redis.result_store import RedisResultStore
from service.adapters.sql.key_store import SqlKeyStore
from service.commands.common import (
    ConfigOption,
    DataOption,
    Output,
    OutputOption,
    TeamOption,
    add_column,
    config_folder,
    open_ledger,
    print_rows,
    read_team_directory,
    run_command,
    stdout,
    terminal_actor,
)
from service.composition.app_config import now
from service.domain.errors import InvalidValue, StateUnavailable
from service.settings.gateway import GatewaySettings, read_gateway
from service.settings.models import read_catalog
from service.usecases.admin.purge_cache import CountCachedResults, PurgeCache
from service.usecases.ports.config import ConfigSnapshot, FixedConfig
from service.usecases.ports.result_store import ResultStats

cache = typer.Typer(no_args_is_help=True, help="Count and delete cached results.")

DATA = Path("data")
ALL = "all"
COLUMNS = ("team", "model", "results", "bytes")
ModelOption = Annotated[str | None, typer.Option("--model", help="Only this model, by name or alias; all by default.")]


@cache.command("stats")
def stats(
    team: TeamOption = None,
    model: ModelOption = None,
    output: OutputOption = Output.TABLE,
    config: ConfigOption = None,
    data_dir: DataOption = DATA,
) -> None:
    """Print the number of cached results, and their bytes."""

    async def run() -> None:
        async with _open_count(config, data_dir) as count:
            counted = await count.count(team, model)
            row = (team, model, counted.results, counted.size_bytes)
            print_rows(COLUMNS, [row], output, lambda: _table(team, model, counted))

    run_command(run())


@cache.command("purge")
def purge(  # noqa: PLR0913, PLR0917 (a command's options)
    team: TeamOption = None,
    model: ModelOption = None,
    all_results: Annotated[bool, typer.Option("--all", help="Results of all teams and models.")] = False,  # noqa: FBT002
    yes: Annotated[bool, typer.Option("--yes", help="Skip the confirmation of --all.")] = False,  # noqa: FBT002
    config: ConfigOption = None,
    data_dir: DataOption = DATA,
) -> None:
    """Delete results of a team, of a model, of both, or all; identical requests are generated again."""

    async def run() -> None:
        _check_scope_named(team, model, everything=all_results)
        async with _open_count(config, data_dir) as count, open_ledger(data_dir) as database:
            if all_results and not yes:
                _confirm(await count.count(None, None))
            purge_cache = PurgeCache(cached=count, key_store=SqlKeyStore(database), now=now)
            deleted = await purge_cache.purge(terminal_actor(), team, model)
            stdout.print(f"forgot {deleted:,} result{'' if deleted == 1 else 's'}")

    run_command(run())


def _check_scope_named(team: str | None, model: str | None, *, everything: bool) -> None:
    """Raise unless the options name a team, a model, both, or all."""
    if everything and (team or model):
        raise InvalidValue("goes without --team and --model.", param="--all")
    if not (everything or team or model):
        raise InvalidValue("Name a --team or a --model, or say --all, which forgets every result of every team.")


def _confirm(stats: ResultStats) -> None:
    """Ask for a confirmation. Raises `InvalidValue` for a refusal, or without a terminal."""
    if not sys.stdin.isatty():
        raise InvalidValue("is needed with --all where there is no terminal to ask at.", param="--yes")
    question = f"Forget all {stats.results:,} results ({stats.size_bytes:,} bytes), of every team?"
    if not typer.confirm(question, err=True):
        raise InvalidValue("Nothing was forgotten.")


@asynccontextmanager
async def _open_count(config: Path | None, data_dir: Path) -> AsyncIterator[CountCachedResults]:
    folder = config_folder(config)
    settings = read_gateway(folder / "gateway.yaml", os.environ)
    catalog = read_catalog(folder / "models.yaml", now().date())
    config_snapshot = ConfigSnapshot(
        catalog=catalog, teams=read_team_directory(folder, catalog, data_dir).teams, keys={}
    )
    results = _results(settings, data_dir)
    try:
        yield CountCachedResults(results=results, config=FixedConfig(config_snapshot), shared=settings.cache.shared)
    finally:
        await results.close()


def _results(settings: GatewaySettings, data_dir: Path) -> RedisResultStore:
    secret = settings.cache_redis_url or settings.redis_url
    url = secret.current if secret else find_running_valkey(data_dir / "cache")
    if url is None:
        raise StateUnavailable(
            f"No gateway is running on {data_dir.resolve()}, so nothing is kept there. "
            "Name its --data-dir, or set CACHE_REDIS_URL or REDIS_URL as it has them."
        )
    return RedisResultStore(url)


def _table(team: str | None, model: str | None, stats: ResultStats) -> Table:
    # One line, because each count scans the whole store, and counts for all teams would scan it again and again.
    line = (team or ALL, model or ALL, f"{stats.results:,}", f"{stats.size_bytes:,}")
    table = Table(box=None, pad_edge=False)
    for name, cell in zip(COLUMNS, line, strict=True):
        add_column(table, name, [cell], right=name in {"results", "bytes"})
    table.add_row(*map(escape, line))
    return table
