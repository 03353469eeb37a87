"""Command line of platform teams: the functions of the admin API at a terminal, directly on the ledger."""

import asyncio
import csv
import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path

import httpx2
import pytest
from pyarrow import parquet
from typer.testing import CliRunner, Result

from service import __version__
from service.adapters.sql.database import Database
from service.adapters.sql.key_store import SqlKeyStore
from service.adapters.sql.ledger import SqlLedger
from service.adapters.sql.migrate import HEAD, migrate, read_revision
from service.commands.cli import app
from service.domain.ledger import Basis, Entry
from service.domain.team_access import key_digest
from service.usecases.ports.key_store import AuditRecord, IssuedKey
from tests.fakes.builders import entry
from tests.support.focus_results import failed
from tests.support.gateway import GatewayProcess, clean_environment, run_command

pytest_plugins = ["tests.support.databases"]

NewDatabase = Callable[[str], str]
TEAMS = f"teams: {{search: {{keys: [{{id: search-1, sha256: {key_digest('igw_search')}}}]}}, ads: {{}}}}\n"
NOVEMBER = ("--since", "2026-11-01", "--until", "2026-12-01")
SECRET = re.compile(r"igw_[A-Za-z0-9_-]{43}")
DEV = "igw_f3a91c5e7b2d48066c9e1f07a5d3b84290cd6e15"
KEY_ID = re.compile(r"key_[0-9a-f]{16}")


class Terminal:
    """A terminal with its own data folder and settings."""

    def __init__(self, folder: Path, config: Path) -> None:
        self.data = folder / "data"
        self.url = f"sqlite:///{self.data / 'ledger.db'}"
        settings = folder / "config"
        shutil.copytree(config, settings)
        (settings / "teams.yaml").write_text(TEAMS)
        self._environment = {
            "DATA_DIR": str(self.data),
            "IMAGE_GATEWAY_CONFIG": str(settings),
            "DATABASE_URL": None,
            "LOGNAME": "ada",
            "COLUMNS": "70",
        }

    def run(self, *words: str, **environment: str) -> Result:
        """Run a command."""
        return CliRunner().invoke(app, words, env=self._environment | environment)

    def says(self, *words: str) -> str:
        """Return the output of a successful command."""
        result = self.run(*words)
        assert result.exit_code == 0, result.output
        return result.stdout

    def refuses(self, *words: str, **environment: str) -> str:
        """Return the error of a failing command."""
        result = self.run(*words, **environment)
        assert (result.exit_code, result.stdout) == (2, ""), result.output
        return result.stderr

    def issued(self, team: str = "search", *more: str) -> tuple[str, str]:
        """Issue a key. Returns its id and its secret."""
        output = self.says("keys", "issue", team, "--create", *more)
        return KEY_ID.findall(output)[0], SECRET.findall(output)[0]

    def write(self, entries: Iterable[Entry]) -> None:
        """Write entries to the ledger."""

        async def act() -> None:
            await migrate(self.url)
            database = Database(self.url)
            await SqlLedger(database).write(list(entries))
            await database.close()

        asyncio.run(act())

    def stored(self) -> tuple[list[IssuedKey], list[AuditRecord]]:
        """Return every key and every audit record, newest first."""

        async def act() -> tuple[list[IssuedKey], list[AuditRecord]]:
            database = Database(self.url)
            store = SqlKeyStore(database)
            keys_and_records = list(await store.list_keys()), list(await store.list_records(100))
            await database.close()
            return keys_and_records

        return asyncio.run(act())


@pytest.fixture
def terminal(tmp_path: Path, config: Path) -> Terminal:
    return Terminal(tmp_path, config)


def booked() -> list[Entry]:
    """Return three entries of two teams."""
    return [
        entry(hold_id="a", team="ads", cost=1_000_000_001, resolved_tier="high", n=2),
        entry(hold_id="b", team="search", cost=250_000_000, resolved_tier="low", basis=Basis.UNCONFIRMED),
        entry(hold_id="c", team="search", cost=250_000_000, resolved_tier="high", tags={"project": "fox"}),
    ]


def test_a_new_key_is_printed_with_its_digest(terminal: Terminal) -> None:
    output = terminal.says("keys", "new")

    assert f"sha256: {key_digest(SECRET.findall(output)[0])}" in output
    assert not terminal.data.exists()


def test_a_key_is_issued_before_the_first_start_of_the_gateway(terminal: Terminal) -> None:
    key_id, secret = terminal.issued("search", "--note", "the crawler", "--expires", "2999-01-01")

    ((key,), (record,)) = terminal.stored()
    assert (key.id, key.team, key.note, key.digest) == (key_id, "search", "the crawler", key_digest(secret))
    assert record.actor == "cli:ada"
    assert re.fullmatch(r"cli_[0-9a-f]{32}", record.request_id)
    assert (record.action, record.subject) == ("key.issue", key_id)


def test_a_refused_key_creates_no_ledger(terminal: Terminal) -> None:
    output = terminal.refuses("keys", "issue", "nobody", "--create")

    assert output.startswith("image-gateway: team: There is no such team")
    assert not terminal.data.exists()


ON_A_LEDGER = (
    ("usage",),
    ("usage", "export", "--format", "csv"),
    ("keys", "issue", "ads"),
    ("keys", "list"),
    ("keys", "rotate", "key_0"),
    ("keys", "change", "key_0", "--tier", "low"),
    ("keys", "expire", "key_0", "--at", "never"),
    ("keys", "revoke", "key_0"),
)


@pytest.mark.parametrize("words", ON_A_LEDGER, ids=" ".join)
def test_a_command_creates_no_ledger_and_names_the_missing_file(terminal: Terminal, words: tuple[str, ...]) -> None:
    output = terminal.refuses(*words)

    assert output.startswith(
        f"image-gateway: There is no ledger: the SQLite file {terminal.data / 'ledger.db'} is not there. "
        "Name its folder with --data-dir (or DATA_DIR), or its address with DATABASE_URL."
    )
    assert output.endswith(" --create makes it there.\n") == (words[:2] == ("keys", "issue"))
    assert not terminal.data.exists()


@pytest.mark.parametrize("words", ON_A_LEDGER, ids=" ".join)
def test_a_command_leaves_older_tables_as_they_are(
    terminal: Terminal, old_database: NewDatabase, words: tuple[str, ...]
) -> None:
    url = old_database("sqlite")

    output = terminal.refuses(*words, DATABASE_URL=url)

    place = url.removeprefix("sqlite:///")
    assert output == (
        f"image-gateway: The SQLite file {place} is at revision 0001, and this version needs {HEAD}. "
        "`image-gateway migrate` brings it there.\n"
    )
    assert asyncio.run(read_revision(url)) == "0001"


@pytest.mark.parametrize("words", [("usage",), ("keys", "issue", "ads")], ids=" ".join)
def test_a_command_creates_no_tables(terminal: Terminal, empty_database: NewDatabase, words: tuple[str, ...]) -> None:
    url = empty_database("postgresql")

    output = terminal.refuses(*words, DATABASE_URL=url)

    assert "There is no ledger: the PostgreSQL at " in output
    assert "has none of its tables" in output
    assert asyncio.run(read_revision(url)) is None


def test_keys_are_listed_with_their_state(terminal: Terminal) -> None:
    first, _ = terminal.issued("search", "--note", "[bold]crawler[/]")
    second, _ = terminal.issued("ads")
    terminal.says("keys", "revoke", second)

    lines = {line.split()[0]: line for line in terminal.says("keys", "list").splitlines()[1:]}
    of_search = terminal.says("keys", "list", "--team", "search")

    assert "active" in lines[first]
    assert "[bold]crawler[/]" in lines[first]
    assert "revoked" in lines[second]
    assert second not in of_search


LEASH = ("--limit", "usd_per_day=5", "--tier-limit", "high:usd_per_day=2", "--tier-limit", "high:concurrent_images=1")


def test_limits_of_an_issued_key_are_listed_changed_and_survive_a_rotation(terminal: Terminal) -> None:
    key_id, _ = terminal.issued("search", *LEASH, "--model", "gpt-image-2", "--tier", "high", "--tier", "low")
    output = "usd_per_day=5 high:concurrent_images=1 high:usd_per_day=2 models=gpt-image-2 tiers=high,low"

    listed = terminal.says("keys", "list")
    rotated = terminal.says("keys", "rotate", key_id)
    changed = terminal.says("keys", "change", key_id, "--limit", "usd_per_day=7.5", "--clear", "tiers")
    cleared = terminal.says("keys", "change", key_id, *(f"--clear={name}" for name in ("limits", "models")))
    free = terminal.says("keys", "change", key_id, "--clear", "limits_by_tier")

    assert output in listed
    assert f"may use: {output}" in rotated
    limits = "high:concurrent_images=1 high:usd_per_day=2"
    assert changed == f"{key_id} may use: usd_per_day=7.5 {limits} models=gpt-image-2\n"
    assert cleared == f"{key_id} may use: {limits}\n"
    assert free == f"{key_id} may use: all that its team may\n"
    assert terminal.stored()[1][0].action == "key.change"


def test_the_allowance_of_a_key_can_be_replaced_as_a_whole(terminal: Terminal) -> None:
    key_id, _ = terminal.issued("search", "--tier", "low")

    changed = terminal.says("keys", "change", key_id, *LEASH, "--model", "gpt-image-2", "--tier", "high")

    assert changed.endswith("high:usd_per_day=2 models=gpt-image-2 tiers=high\n")


def test_a_key_is_rotated_expired_and_revoked(terminal: Terminal) -> None:
    key_id, _ = terminal.issued()

    rotated = terminal.says("keys", "rotate", key_id, "--overlap", "3600")
    new_id = KEY_ID.findall(rotated)[0]
    moved = terminal.says("keys", "expire", new_id, "--at", "2999-01-01T12:00:00Z")
    endless = terminal.says("keys", "expire", new_id, "--at", "never")
    revoked = terminal.says("keys", "revoke", new_id)

    assert new_id != key_id
    assert SECRET.search(rotated)
    assert f"{key_id} ends at 20" in rotated
    assert moved == f"{new_id} ends at 2999-01-01T12:00:00Z\n"
    assert endless == f"{new_id} ends at never\n"
    assert revoked.startswith(f"{new_id} was revoked at 20")
    assert [record.action for record in terminal.stored()[1]] == [
        "key.revoke",
        "key.expire",
        "key.expire",
        "key.expire",
        "key.rotate",
        "key.issue",
    ]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["keys", "issue", "nobody"], "team: There is no such team"),
        (["keys", "issue", "serch"], "team: There is no such team in teams.yaml. Did you mean 'search'?"),
        (["keys", "list", "--team", "serch"], "team: There is no such team, nor a key of one. Did you mean 'search'?"),
        (["usage", "--team", "serch"], "team: There is no such team, and nothing was booked for one. Did you mean 'se"),
        (["usage", "export", "--format", "csv", "--team", "x"], "team: There is no such team, and nothing was booked"),
        (["keys", "rotate", "search-1"], "key_id: Key 'search-1' was not issued. It stands in /"),
        (["keys", "revoke", "search-1"], "key_id: Key 'search-1' was not issued. It stands in /"),
        (["keys", "issue", "ads", "--expires", "soon"], "expires: 'soon' is not a date"),
        (["keys", "issue", "ads", "--expires", "2020-01-01"], "expires_at: The end of a key has to lie in the future"),
        (["keys", "issue", "ads", "--note", "a" * 201], "note: A note is one line"),
        (["keys", "issue", "ads", "--limit", "usd_per_day"], "limit: 'usd_per_day' is not a limit and a number"),
        (["keys", "issue", "ads", "--limit", "usd=1"], "limit: 'usd' is not a limit; limits are requests_per_minute"),
        (["keys", "issue", "ads", "--limit", "usd_per_day=-1"], "limit.usd_per_day: -1 is not an amount between"),
        (["keys", "issue", "ads", "--tier-limit", "usd_per_day=1"], "tier-limit: 'usd_per_day=1' is not a tier and"),
        (["keys", "issue", "ads", "--tier-limit", "ultra:usd_per_day=1"], "limits_by_tier: 'ultra' is not in models"),
        (["keys", "issue", "ads", "--model", "drawer"], "models: 'drawer' is not in models.yaml"),
        (["keys", "issue", "ads", "--tier", "ultra"], "tiers: 'ultra' is not in models.yaml"),
        (["keys", "change", "key_0"], "Nothing is to be changed. It can be: expires_at, models, tiers, limits"),
        (["keys", "change", "key_0", "--clear", "note"], "clear: 'note' is none of limits, limits_by_tier, models"),
        (["keys", "change", "key_0", "--tier", "low"], "There is no key 'key_0'"),
        (["keys", "rotate", "key_0"], "There is no key 'key_0'"),
        (["keys", "expire", "key_0", "--at", "never"], "There is no key 'key_0'"),
        (["keys", "revoke", "key_0"], "There is no key 'key_0'"),
        (["usage", "--by", "colour"], "by: 'colour' is none of"),
        (["usage", "--by", ""], "by: '' is none of"),
        (["usage", "--since", "yesterday"], "since: 'yesterday' is not a date"),
        (["usage", "--since", "2026-11-02", "--until", "2026-11-01"], "since: since (2026-11-02T00:00:00Z)"),
        (["usage", "export", "--format", "xlsx"], "format: 'xlsx' is not offered here; offered are csv, focus"),
        (["usage", "export", "--format", "csv", "--until", "x"], "until: 'x' is not a date"),
        (["usage", "export", "--format", "csv", "--output", "/nowhere/a.csv"], "output: /nowhere/a.csv cannot be"),
    ],
)
def test_an_error_is_one_line(terminal: Terminal, words: list[str], reason: str) -> None:
    terminal.write(())

    output = terminal.refuses(*words)

    assert output.startswith(f"image-gateway: {reason}")
    assert output.count("\n") == 1


def test_usage_is_a_table_with_bars(terminal: Terminal) -> None:
    terminal.write(booked())

    header, ads, search, total = terminal.says("usage", "--by", "team", *NOVEMBER).splitlines()[1:]

    assert header.split() == ["team", "calls", "images", "cost", "saved", "uncertain"]
    assert ads.split()[:6] == ["ads", "1", "2", "$1.000000001", "$0.00", "$0.00"]
    assert search.split()[:6] == ["search", "2", "2", "$0.50", "$0.00", "$0.25"]
    assert total.split() == ["total", "3", "4", "$1.500000001", "$0.00", "$0.25"]
    assert ads.count("█") == pytest.approx(2 * search.count("█"), abs=2)


def test_a_list_is_also_printed_as_json(terminal: Terminal) -> None:
    key_id, _ = terminal.issued("search", "--note", "a, b", "--tier", "low")
    terminal.write(booked())

    (key,) = json.loads(terminal.says("keys", "list", "--output", "json"))
    (row,) = csv.DictReader(io.StringIO(terminal.says("keys", "list", "--output", "csv")))
    used = terminal.says("usage", "--by", "team,tier", *NOVEMBER, "--output", "json")
    lines = terminal.says("usage", "--by", "team", *NOVEMBER, "--output", "csv").splitlines()
    failures = terminal.says("faults", "--output", "csv").splitlines()

    assert (key["id"], key["team"], key["state"], key["expires_at"]) == (key_id, "search", "active", None)
    assert (key["note"], key["may_use"]) == ("a, b", "tiers=low")
    assert (row["id"], row["note"], row["expires_at"]) == (key_id, "a, b", "")
    assert '"cost_usd": 1.000000001' in used
    assert [(entry["team"], entry["tier"], entry["calls"]) for entry in json.loads(used)] == [
        ("ads", "high", 1),
        ("search", "high", 1),
        ("search", "low", 1),
    ]
    assert lines == [
        "team,calls,images,cost_usd,saved_usd,uncertain_usd",
        "ads,1,2,1.000000001,0.00,0.00",
        "search,2,2,0.50,0.00,0.25",
    ]
    assert failures[0] == "fault"
    assert failures[1:] == terminal.says("faults").splitlines()


@pytest.mark.parametrize("words", [["--version"], ["version"]])
def test_the_version_is_printed(terminal: Terminal, words: list[str]) -> None:
    assert terminal.says(*words) == f"{__version__}\n"


@pytest.mark.parametrize("words", [["-h"], ["keys", "-h"], ["keys", "issue", "-h"], ["serve", "-h"]])
def test_help_has_a_short_name(terminal: Terminal, words: list[str]) -> None:
    assert "Usage:" in terminal.says(*words)


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("che", {"check"}),
        ("keys r", {"rotate", "revoke"}),
        ("keys issue --t", {"--tier", "--tier-limit"}),
        ("keys list --te", {"--team"}),
        ("cache purge --", {"--team", "--model", "--all", "--yes", "--config", "--data-dir", "--help"}),
    ],
)
def test_a_shell_completes_commands_and_options(terminal: Terminal, typed: str, offered: set[str]) -> None:
    script = terminal.says("completion", "bash")
    words = " ".join(f"'{word}'" for word in ("image-gateway", *typed.split(" ")))
    asked = f'COMP_WORDS=({words}); COMP_CWORD={typed.count(" ") + 1}; _image_gateway; echo "${{COMPREPLY[@]}}"'

    done = subprocess.run(["bash", "-c", f"{script}\n{asked}"], capture_output=True, text=True, check=True)

    assert {*done.stdout.split()} == offered
    assert terminal.says("completion", "zsh").endswith(script)


def test_usage_is_grouped_by_the_given_fields(terminal: Terminal) -> None:
    terminal.write(booked())

    lines = terminal.says("usage", "--by", "tier,tag:project", "--team", "search", *NOVEMBER).splitlines()[2:]

    assert [line.split()[:4] for line in lines] == [
        ["high", "fox", "1", "1"],
        ["low", "-", "1", "1"],
        ["total", "2", "2", "$0.50"],
    ]


def test_usage_without_entries_is_a_total_of_zero(terminal: Terminal) -> None:
    terminal.write(())

    assert terminal.says("usage").splitlines()[-1].split() == ["total", "0", "0", "$0.00", "$0.00", "$0.00"]


def test_the_ledger_is_exported(terminal: Terminal, tmp_path: Path) -> None:
    terminal.write(booked())

    for kind in ("csv", "parquet", "focus"):
        file = str(tmp_path / f"{kind}.out")
        assert terminal.says("usage", "export", "--format", kind, "--output", file, *NOVEMBER) == ""
    streamed = terminal.run("usage", "export", "--format", "csv", *NOVEMBER)

    rows = list(csv.DictReader(io.StringIO((tmp_path / "csv.out").read_text(), newline="")))
    assert sum(Decimal(row["cost_usd"]) for row in rows) == Decimal("1.500000001")
    assert parquet.read_table(tmp_path / "parquet.out").num_rows == 3
    assert streamed.stdout_bytes == (tmp_path / "csv.out").read_bytes()
    assert failed((tmp_path / "focus.out").rename(tmp_path / "focus.csv")) == []
    assert not list(tmp_path.glob(".*.part"))


def test_the_commands_and_the_gateway_share_the_ledger(
    sandbox_gateway: GatewayProcess, http: httpx2.Client, config: Path
) -> None:
    """A key issued at a terminal works on the gateway that runs on the data folder."""
    environment = clean_environment(DATA_DIR=str(sandbox_gateway.data), IMAGE_GATEWAY_CONFIG=str(config))
    done = run_command("keys", "issue", "dev", environment=environment)
    assert done.returncode == 0, done.stderr
    headers = {"authorization": f"Bearer {SECRET.findall(done.stdout)[0]}"}
    looks = (http.get(f"{sandbox_gateway.url}/v1/usage", headers=headers).status_code for _ in range(100_000))

    assert next(status for status in looks if status != 401) == 200


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("short", "must have at least 32 characters"),
        ("changeme" * 5, "is well known"),
        ("a1" * 32, "is well known"),
        (DEV, "is the key of a team as well"),
    ],
)
def test_a_shared_or_guessable_admin_key_stops_the_start(tmp_path: Path, key: str, reason: str) -> None:
    (tmp_path / "dev-key").write_text(DEV)

    words = ("serve", "--dev", "--port", "0", "--data-dir", str(tmp_path))
    done = run_command(*words, environment=clean_environment(ADMIN_API_KEY=key))

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"image-gateway: ADMIN_API_KEY: {reason}")
    assert key not in done.stderr
