"""`image-gateway migrate`, as a Job runs it: its output, its changes, and its refusals."""

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from service.adapters.sql.database import Database
from service.adapters.sql.migrate import HEAD, read_revision
from tests.e2e.test_process import command
from tests.support.gateway import GatewayProcess

pytest_plugins = ["tests.support.databases"]

NewDatabase = Callable[[str], str]
NEWER = text("UPDATE alembic_version SET version_num = '9999'")


def migrate(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder without settings."""
    return command("migrate", *options, cwd=folder, environment=environment)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_the_command_prints_both_revisions(kind: str, tmp_path: Path, empty_database: NewDatabase) -> None:
    url = empty_database(kind)

    before = migrate(tmp_path, "--check", DATABASE_URL=url)
    assert asyncio.run(read_revision(url)) is None
    done = migrate(tmp_path, DATABASE_URL=url)
    assert asyncio.run(read_revision(url)) == HEAD
    again = migrate(tmp_path, DATABASE_URL=url)
    after = migrate(tmp_path, "--check", DATABASE_URL=url)

    place = url.removeprefix("sqlite:///") if kind == "sqlite" else "PostgreSQL at "
    assert all(place in run.stdout and run.stdout.count("\n") == 1 for run in (before, done, again, after))
    assert (before.returncode, done.returncode, again.returncode, after.returncode) == (1, 0, 0, 0)
    assert f"is at no revision, has to be at {HEAD}: `image-gateway migrate`." in before.stdout
    assert f"was at no revision, is at {HEAD} now." in done.stdout
    assert f"is at {HEAD}, as it has to be." in again.stdout
    assert again.stdout == after.stdout
    assert "".join(run.stderr for run in (before, done, again, after)) == ""


def test_without_an_address_the_command_migrates_the_file_of_the_data_folder(tmp_path: Path) -> None:
    before = migrate(tmp_path, "--check", "--data-dir", str(tmp_path / "data"))
    assert not (tmp_path / "data").exists()
    done = migrate(tmp_path, DATA_DIR=str(tmp_path / "data"))
    with GatewayProcess(tmp_path / "data"):
        during = migrate(tmp_path, "--data-dir", str(tmp_path / "data"))

    assert (before.returncode, done.returncode, during.returncode) == (1, 0, 0)
    assert str(tmp_path / "data" / "ledger.db") in done.stdout
    assert "as it has to be" in during.stdout


@pytest.mark.parametrize("options", [(), ("--check",)], ids=["do", "check"])
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_database_of_a_newer_version_is_refused(
    kind: str, options: tuple[str, ...], tmp_path: Path, empty_database: NewDatabase
) -> None:
    url = empty_database(kind)
    migrate(tmp_path, DATABASE_URL=url)

    async def grow() -> None:
        database = Database(url)
        await database.transaction(lambda connection: connection.execute(NEWER))
        await database.close()

    asyncio.run(grow())
    done = migrate(tmp_path, *options, DATABASE_URL=url)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        f"image-gateway: The database is at revision 9999, made by a newer gateway; this one needs {HEAD}."
    ]


@pytest.mark.parametrize("options", [(), ("--check",)], ids=["do", "check"])
@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://owner:geheim@127.0.0.1:1/ledger", "The PostgreSQL at 127.0.0.1 does not answer ("),
        ("postgresql://owner:geheim/x@127.0.0.1/ledger", "DATABASE_URL: cannot be read; signs such as"),
        ("mysql://owner:geheim@127.0.0.1/ledger", "DATABASE_URL: has to begin with sqlite:/// or postgresql://"),
    ],
)
def test_an_unreachable_database_is_reported_without_its_password(
    tmp_path: Path, options: tuple[str, ...], url: str, reason: str
) -> None:
    done = migrate(tmp_path, *options, DATABASE_URL=url)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"image-gateway: {reason}")
    assert done.stderr.count("\n") == 1
    assert "geheim" not in done.stderr
