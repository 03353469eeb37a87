"""The rendered chart at the real gateway: its settings, changed while it runs, and its Job for tables."""

import asyncio
import secrets
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg  # type: ignore[import-untyped]
import httpx2
import pytest

from service.adapters.sql.migrate import HEAD, read_revision
from tests.support.gateway import GatewayProcess, clean_environment
from tests.support.gateway_site import await_true
from tools.helm.chart import ROOT, SETS, only, rendered, settings_of
from tools.helm.table import README

pytest_plugins = ["tests.support.databases"]

NewDatabase = Callable[[str], str]

ADMIN = secrets.token_hex(32)
BODY = {"model": "gpt-image-2", "prompt": "fox", "quality": "low", "size": "1024x1024"}
DIGEST = "sha256: 05411435"


async def execute(url: str, statement: str) -> None:
    """Run a statement on a PostgreSQL server."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


class Volume:
    """A ConfigMap as a kubelet mounts it: files are links into a folder that is swapped in one step."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self.folder = folder
        folder.mkdir()
        self.write(settings)
        for name in settings:
            (folder / name).symlink_to(Path("..data") / name)

    def write(self, settings: Mapping[str, str]) -> None:
        """Swap in other texts."""
        version = self.folder / f"..{len(list(self.folder.iterdir()))}"
        version.mkdir()
        for name, text in settings.items():
            (version / name).write_text(text)
            (version / name).chmod(0o444)
        version.chmod(0o555)
        (self.folder / "..data_tmp").symlink_to(version.name)
        (self.folder / "..data_tmp").replace(self.folder / "..data")

    def files(self) -> set[str]:
        """Return the names of the files."""
        return {str(path.relative_to(self.folder)) for path in self.folder.rglob("*")}


def environment(volume: Volume, tmp: Path, **more: str) -> dict[str, str]:
    """Environment of the chart, with temporary folders and any free port."""
    tmp.mkdir()
    return {
        "IMAGE_GATEWAY_CONFIG": str(volume.folder),
        "TMPDIR": str(tmp),
        "METRICS_PORT": "0",
        "ADMIN_PORT": "0",
        **more,
    }


@pytest.mark.parametrize("name", SETS)
def test_a_gateway_starts_on_the_rendered_settings(
    name: str, tmp_path: Path, redis_url: str, new_database: NewDatabase, http: httpx2.Client
) -> None:
    volume = Volume(tmp_path / "config", settings_of(rendered(name)))
    before = volume.files()
    stores = {"REDIS_URL": redis_url, "DATABASE_URL": new_database("postgresql")}
    keys = {"OPENAI_API_KEY": "sk-nobody", "ADMIN_API_KEY": ADMIN}
    chosen = environment(volume, tmp_path / "tmp", **stores, **keys)
    with GatewayProcess(tmp_path / "data", chosen, options=()) as running:
        assert http.get(f"{running.url}/health/live").status_code == 200
        assert http.get(f"{running.url}/health/ready").status_code == 200
        assert http.get(f"{running.url}/metrics").status_code == 404
        metrics = http.get(str(running.await_logged("listening")["metrics"]))
        assert "gateway_build_info" in metrics.text
        assert "gateway_images_in_flight{" in metrics.text
        admin, operator = str(running.await_logged("listening")["admin"]), {"authorization": f"Bearer {ADMIN}"}
        assert http.get(f"{admin}/keys", headers=operator).status_code == 200
        assert http.get(f"{running.url}/admin/v1/keys", headers=operator).status_code == 404
    assert volume.files() == before
    assert not (tmp_path / "data").exists()


def test_a_gateway_serves_and_reads_changed_teams_without_a_restart(
    tmp_path: Path, redis_url: str, new_database: NewDatabase, http: httpx2.Client
) -> None:
    settings = settings_of(rendered("everything"))
    volume = Volume(tmp_path / "config", settings)
    stores = {"REDIS_URL": redis_url, "DATABASE_URL": new_database("postgresql")}
    with GatewayProcess(tmp_path / "data", environment(volume, tmp_path / "tmp", **stores), options=()) as running:

        def drawn(key: str) -> int:
            headers = {"authorization": f"Bearer {key}"}
            return http.post(f"{running.url}/v1/images/generations", json=BODY, headers=headers).status_code

        assert drawn("igw_k") == 200
        assert DIGEST in settings["teams.yaml"]
        volume.write({**settings, "teams.yaml": settings["teams.yaml"].replace(DIGEST, "sha256: 15411435")})
        running.await_logged("settings reloaded")
        assert drawn("igw_k") == 401


def command(folder: Path, *arguments: str, **variables: str) -> str:
    """Run the command line as in a container without other files. Returns its output."""
    done = subprocess.run(
        [sys.executable, "-m", "service", *arguments],
        env=clean_environment(PYTHONPATH=str(ROOT), **variables),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_job_makes_the_tables(tmp_path: Path) -> None:
    (container,) = only(rendered("everything"), "Job")["spec"]["template"]["spec"]["containers"]
    program, *arguments = container["command"]
    assert program == "image-gateway"
    url = f"sqlite:///{tmp_path}/ledger.db"
    assert "was at no revision" in command(tmp_path, *arguments, DATABASE_URL=url)
    assert "as it has to be" in command(tmp_path, *arguments, DATABASE_URL=url)
    assert asyncio.run(read_revision(url)) == HEAD


def rights() -> list[str]:
    """Return the grants of the README for the owner of the tables."""
    _, _, after = README.read_text().partition("```sql\n")
    return [line for line in after.partition("```")[0].splitlines() if line]


def test_after_the_job_a_gateway_needs_no_right_to_create_tables(
    tmp_path: Path, redis_url: str, new_database: NewDatabase, http: httpx2.Client
) -> None:
    owner = new_database("postgresql")
    for statement in rights():
        asyncio.run(execute(owner, statement))
    place = urlsplit(owner)
    lesser = urlunsplit(place._replace(netloc=f"gateway:secret@{place.netloc.rpartition('@')[2]}"))
    volume = Volume(tmp_path / "config", settings_of(rendered("everything")))
    stores = {"REDIS_URL": redis_url, "DATABASE_URL": lesser}
    headers = {"authorization": "Bearer igw_k"}
    with GatewayProcess(tmp_path / "data", environment(volume, tmp_path / "tmp", **stores), options=()) as running:
        body = {**BODY, "prompt": "wolf"}
        assert http.post(f"{running.url}/v1/images/generations", json=body, headers=headers).status_code == 200

        def booked() -> bool:
            total = http.get(f"{running.url}/v1/usage", headers=headers).json()["total"]
            return bool(total["entries"] == 1)

        await_true(booked)
    assert "igw_" in command(tmp_path, "keys", "issue", "search", "--config", str(volume.folder), DATABASE_URL=lesser)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        asyncio.run(execute(lesser, "CREATE TABLE more ()"))
