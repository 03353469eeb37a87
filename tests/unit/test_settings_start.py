"""`check` refuses what `serve` refuses before it listens, in the same words: both read a start in one place."""

import re
import shutil
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner, Result

from service.adapters.embedded_valkey import EmbeddedError
from service.adapters.sql.database import SchemaError
from service.commands.cli import app
from service.domain.team_access import key_digest
from service.server import PortError
from service.settings.models import read_catalog
from service.settings.yaml_file import SettingsError
from tests.support.gateway import clean_environment, run_command

ROOT = Path(__file__).parents[2]
REFUSALS = (SettingsError, EmbeddedError, PortError, SchemaError)
TEAM = "teams: {{search: {{keys: [{{id: k, sha256: {}}}]}}}}\n"
TEAMS = TEAM.format(key_digest("igw_search"))
STRONG = "f3b1c2d4e5a69788" * 2 + "q"
ADMIN = {"ADMIN_API_KEY": STRONG}
STORES = {"REDIS_URL": "redis://127.0.0.1:9", "DATABASE_URL": "postgresql://127.0.0.1:9/ledger"}
Spoil = Mapping[str, str]
NOTHING: Spoil = {}


class Site:
    """Settings that are right until they are spoiled, with a data folder that is not there."""

    def __init__(self, folder: Path) -> None:
        self.config, self.data = folder / "config", folder / "data"
        shutil.copytree(ROOT / "config", self.config, ignore=shutil.ignore_patterns("grafana", "prometheus"))
        (self.config / "teams.yaml").write_text(TEAMS)

    def refusal_lines(self, command: str, environment: Mapping[str, str], options: tuple[str, ...]) -> list[str]:
        """Return the lines that a refusing command prints."""
        words = (command, "--config", str(self.config), "--data-dir", str(self.data), *options)
        done = run_command(*words, environment=clean_environment(OPENAI_API_KEY="sk-x", **environment))
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        return [line.removeprefix("image-gateway: ") for line in done.stderr.splitlines()]

    def run(self, command: str, environment: Mapping[str, str], options: tuple[str, ...]) -> str:
        """Return the message of a refusing command."""
        data = () if "--data-dir" in options else ("--data-dir", str(self.data))
        arguments = [command, "--config", str(self.config), *data, *options]
        if command == "serve" and "--port" not in options:
            arguments += ["--port", "0"]
        result = CliRunner().invoke(app, arguments, env={"OPENAI_API_KEY": "sk-x", **environment})
        assert isinstance(result.exception, REFUSALS), (command, result.output, repr(result.exception))
        return str(result.exception)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    for name in ("REDIS_URL", "DATABASE_URL", "STORAGE_URL", "OPENAI_BASE_URL", "ADMIN_API_KEY", "TOGETHER_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    return Site(tmp_path)


VENDOR = "backends: {draw: {dialect: openai, base_url: 'https://draw.test/v1', api_key_env: OPENAI_API_KEY, %s}}"
CASES: Mapping[str, tuple[str, Spoil, Spoil, tuple[str, ...]]] = {
    "no backend": ("No backend is on", NOTHING, {"OPENAI_API_KEY": ""}, ()),
    "no team": (r"\$.teams: no team", {"teams.yaml": "teams: {}"}, NOTHING, ()),
    "an empty file of teams": (r"teams.yaml: \$: is empty", {"teams.yaml": ""}, NOTHING, ()),
    "nothing for teams": (r"teams.yaml: \$: is empty", {"teams.yaml": "null"}, NOTHING, ()),
    "a proxy": ("must be an http or https", {"gateway.yaml": VENDOR % "proxy: 'socks5://h:1'"}, NOTHING, ()),
    "a vendor's certificates": ("No such file", {"gateway.yaml": VENDOR % "ca_file: /nowhere.pem"}, NOTHING, ()),
    "a user in an address": ("must not hold a user", NOTHING, {"OPENAI_BASE_URL": "https://u:p@draw.test/v1"}, ()),
    "a fault": (r"\$.sandbox.fail", {"gateway.yaml": "sandbox: {enabled: true, fail: laziness}"}, NOTHING, ()),
    "networks": (
        r"\$.reference_images: Not networks",
        {"gateway.yaml": "sandbox: {enabled: true}\nreference_images: {allow_networks: [10.0.0.0/99]}"},
        NOTHING,
        (),
    ),
    "links' certificates": (
        r"\$.reference_images",
        {"gateway.yaml": "sandbox: {enabled: true}\nreference_images: {ca_file: /nowhere.pem}"},
        NOTHING,
        (),
    ),
    "a host of metrics": ("METRICS_HOST", NOTHING, {"METRICS_HOST": "203.0.113.7", "METRICS_PORT": "0"}, ()),
    "a host of admin": ("ADMIN_HOST", NOTHING, {"ADMIN_HOST": "no such host", "ADMIN_PORT": "0"}, ()),
    "a host": ("--host: cannot listen on", NOTHING, NOTHING, ("--host", "203.0.113.7")),
    "a port twice": ("is configured twice", NOTHING, {"METRICS_PORT": "18080"}, ("--port", "18080")),
    "a port that is none": ("70000 is not a port", NOTHING, NOTHING, ("--port", "70000")),
    "dev beyond loopback": ("loopback only", NOTHING, NOTHING, ("--dev", "--host", "0.0.0.0")),  # noqa: S104 (refused)
    "no ledger": ("DATABASE_URL: needed with", NOTHING, {"REDIS_URL": "redis://127.0.0.1:9"}, ()),
    "a file beside Redis": (
        "^DATABASE_URL: a SQLite file /data/ledger.db beside REDIS_URL: .*PostgreSQL.*one_machine: true",
        NOTHING,
        STORES | {"DATABASE_URL": "sqlite:////data/ledger.db"},
        (),
    ),
    "a store's options": ("REDIS_URL: has options", NOTHING, STORES | {"REDIS_URL": "redis://h?socket_timeout=x"}, ()),
    "unknown options": (
        "REDIS_URL: the parameter 'colour'",
        NOTHING,
        STORES | {"REDIS_URL": "redis://h?colour=red"},
        (),
    ),
    "no certificate": (
        "REDIS_URL: has options that cannot be used",
        NOTHING,
        STORES | {"REDIS_URL": f"rediss://h?ssl_ca_certs={ROOT / 'README.md'}"},
        (),
    ),
    "a ledger": ("DATABASE_URL: has to begin", NOTHING, STORES | {"DATABASE_URL": "mysql://h/x"}, ()),
    "a ledger in memory": ("has to name a file", NOTHING, {"DATABASE_URL": "sqlite:///:memory:"}, ()),
    "a ledger's port": ("cannot be read; signs", NOTHING, STORES | {"DATABASE_URL": "postgresql://h:x/d"}, ()),
    "signing": ("URL_SIGNING_KEY: needed", NOTHING, STORES | {"STORAGE_URL": "s3://bucket"}, ()),
    "storage": ("STORAGE_URL: the folder", NOTHING, {"STORAGE_URL": "/dev/null/pictures"}, ()),
    "a data folder": ("DATA_DIR: the folder", NOTHING, NOTHING, ("--data-dir", "/dev/null/data")),
    "a data folder in dev": ("DATA_DIR: the folder", NOTHING, NOTHING, ("--dev", "--data-dir", "/dev/null/data")),
    "one key for two doors": ("key of a team", {"teams.yaml": TEAM.format(key_digest(STRONG))}, ADMIN, ()),
    "a name of no file": ("holds a NUL", {"gateway.yaml": VENDOR % 'api_key_file: "a\\0b"'}, NOTHING, ()),
    "a truth": ("cannot be read as bool", {"gateway.yaml": "sandbox: {enabled: !!bool maybe}"}, NOTHING, ()),
    "a number": ("cannot be read as int", {"gateway.yaml": "cache: {seconds: !!int ''}"}, NOTHING, ()),
    "next to nothing": ("lease_seconds", {"gateway.yaml": "ledger: {lease_seconds: 1e-300}"}, NOTHING, ()),
}


@pytest.mark.parametrize("case", CASES)
def test_check_refuses_what_serve_refuses(site: Site, case: str) -> None:
    words, files, environment, options = CASES[case]
    for name, text in files.items():
        (site.config / name).write_text(text)
    served = site.run("serve", environment, options)
    assert re.search(words, served), served
    assert site.run("check", environment, options) == served


@pytest.mark.parametrize(("value", "options"), [("true", ()), ("false", ("--dev",))])
def test_on_one_machine_a_file_may_stand_beside_redis(site: Site, value: str, options: tuple[str, ...]) -> None:
    settings = site.config / "gateway.yaml"
    settings.write_text(settings.read_text().replace("one_machine: false", f"one_machine: {value}"))
    stores = STORES | {"DATABASE_URL": f"sqlite:///{site.data / 'ledger.db'}"}

    result = CliRunner().invoke(
        app,
        ["check", "--config", str(site.config), "--data-dir", str(site.data), *options],
        env={"OPENAI_API_KEY": "sk-x", **stores},
    )

    assert result.exit_code == 0, result.output


def checked(site: Site, **texts: str) -> Result:
    """Run `check` on settings with other texts in some files."""
    for name, text in texts.items():
        (site.config / f"{name}.yaml").write_text(text)
    arguments = ["check", "--config", str(site.config), "--data-dir", str(site.data)]
    return CliRunner().invoke(app, arguments, env={"OPENAI_API_KEY": "sk-x"})


def shut_down(day: date) -> str:
    """The shipped models, three of which end on a day."""
    shipped = (ROOT / "config" / "models.yaml").read_text()
    assert "shutdown_date: 2026-12-01" in shipped
    return shipped.replace("shutdown_date: 2026-12-01", f"shutdown_date: {day}")


@pytest.mark.parametrize(("days", "words"), [(-1, "ended on"), (0, "ended on"), (1, "in 1 day"), (30, "in 30 days")])
def test_check_warns_of_models_that_end(site: Site, days: int, words: str) -> None:
    day = datetime.now(UTC).date() + timedelta(days=days)
    models = shut_down(day).replace("default_model: gpt-image-2", "default_model: gpt-image-1.5")

    result = checked(site, models=models, teams="teams: {search: {models: [gpt-image-1-mini]}}")

    assert result.exit_code == 0
    assert result.stdout.count("\n") == 1
    lines = result.stderr.splitlines()
    assert [line.split(": ")[3] for line in lines] == [
        "$.models.gpt-image-1.5.shutdown_date",
        "$.models.chatgpt-image-latest.shutdown_date",
        "$.models.gpt-image-1-mini.shutdown_date",
        "$.default_model",
        "$.teams.search.models",
    ]
    assert all(line.startswith("image-gateway: warning: ") and str(day) in line for line in lines)
    assert all(words in line for line in lines[:4])


def test_check_says_nothing_of_what_ends_later(site: Site) -> None:
    result = checked(site, models=shut_down(datetime.now(UTC).date() + timedelta(days=31)))

    assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.parametrize("days", [-1, 1, 400])
def test_the_recipe_of_the_runbook_is_accepted(site: Site, days: int) -> None:
    """Read from the page, before the model ends and after it."""
    page = (ROOT / "docs" / "operations.md").read_text()
    recipe = page.partition("### GatewayModelEnds")[2].partition("```yaml\n")[2].partition("```")[0]
    ((name, entry),) = YAML(typ="safe").load(recipe)["models"].items()
    line, replacement = "    aliases: [openai/gpt-image-2]\n", f"{recipe.splitlines()[-1]}\n"
    today = datetime.now(UTC).date()

    result = checked(site, models=shut_down(today + timedelta(days=days)).replace(line, replacement))

    assert result.exit_code == 0, result.output
    catalog = read_catalog(site.config / "models.yaml", today)
    assert catalog.models[name].aliases == tuple(entry["aliases"])
    assert catalog.get("gpt-image-1.5", today).id == (name if days < 0 else "gpt-image-1.5")
    if days < 30:
        assert "then 'gpt-image-2' answers to the name; its successor is 'gpt-image-2'\n" in result.stderr


def test_check_makes_nothing(site: Site) -> None:
    result = CliRunner().invoke(
        app,
        ["check", "--config", str(site.config), "--data-dir", str(site.data)],
        env={"OPENAI_API_KEY": "sk-x", "STORAGE_URL": str(site.data / "pictures")},
    )
    assert result.exit_code == 0, result.output
    assert "1 teams, 1 keys; backends on: openai" in result.output
    assert not site.data.exists()
