"""The reference of the settings: whole, true, and what an editor checks is what the readers accept."""

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import typer
from typer.testing import CliRunner

from service.commands.cli import app
from service.commands.settings_reference import build_page, render_schema
from service.settings.docs_and_schema import FILES, SettingRow, build_schema, setting_rows
from service.settings.environment_variables import TABLES
from service.settings.gateway import read_gateway
from service.settings.yaml_file import read_yaml

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "config"
NAMED = {name for _, table in TABLES for names in table for name in names.split(", ")}
EVERY = {name: [*setting_rows(build_schema(kind, name))] for name, kind in FILES.items()}


def row(file: str, path: str) -> SettingRow:
    (match,) = (entry for entry in EVERY[file] if entry.path == path)
    return match


def plain(value: Any) -> Any:
    """As an editor reads YAML: a date is a text."""
    if isinstance(value, dict):
        return {name: plain(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [plain(entry) for entry in value]
    return value.isoformat() if isinstance(value, date) else value


def test_the_page_and_the_schemas_are_what_the_structs_say() -> None:
    assert (ROOT / "docs" / "configuration.md").read_text("utf-8") == build_page(), "run `make configuration`"
    for name in FILES:
        file = CONFIG / "schemas" / f"{name}.schema.json"
        assert file.read_text("utf-8") == render_schema(name), "run `make configuration`"


@pytest.mark.parametrize("name", FILES)
def test_every_key_says_what_it_means(name: str) -> None:
    assert [entry.path for entry in EVERY[name] if not entry.description.endswith(".")] == []
    assert all(entry.type for entry in EVERY[name])


@pytest.mark.parametrize(
    ("file", "path", "kind", "default"),
    [
        ("gateway", "backends.<name>.dialect", "one of openai, together", None),
        ("gateway", "backends.<name>.deadline_seconds", "number of seconds, 0.001 to 86,400", "300"),
        ("gateway", "backends.<name>.account.concurrent", "whole number, 1 to 1,000,000", ""),
        ("gateway", "reference_images.allow_networks", "list of networks", ""),
        ("gateway", "reference_images.allow_ports", "list of whole numbers, 1 to 65,535", "443"),
        ("gateway", "sandbox.enabled", "true or false", "false"),
        ("gateway", "tags", "list of names", ""),
        ("models", "carries", "table of lists of texts", None),
        ("models", "prices.<name>[].effective", "date", None),
        ("models", "prices.<name>[].per_million_tokens.text_out", "number, 0 to 1,000,000", "0"),
        ("models", "prices.<name>[].table", "table of tables of whole numbers, 1 to 1,000,000", ""),
        ("models", "models.<name>.policy", "one of cheapest, priority, weighted", "priority"),
        ("teams", "teams.<name>.keys", "list of sections", ""),
        ("teams", "teams.<name>.keys[].limits", "section, as `teams.<name>.limits`", ""),
    ],
)
def test_a_key_is_told_in_words(file: str, path: str, kind: str, default: str | None) -> None:
    assert (row(file, path).type, row(file, path).default) == (kind, default)


@pytest.mark.parametrize("name", FILES)
def test_the_shipped_files_are_right_by_their_schemas_and_name_them(name: str) -> None:
    file = CONFIG / f"{name}.yaml"
    jsonschema.Draft202012Validator(build_schema(FILES[name], name)).validate(plain(read_yaml(file)))

    first = file.read_text("utf-8").partition("\n")[0]
    assert first == f"# yaml-language-server: $schema=schemas/{name}.schema.json"


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("gateway", {"sandbox": {"enabled": "perhaps"}}),
        ("gateway", {"backends": {"openai": {"dialect": "openai", "base_url": "https://draw.test", "key": "sk-"}}}),
        ("gateway", {"tags": ["Project"]}),
        ("models", {"models": {}}),
        ("teams", {"teams": {"search": {"limits": {"usd_per_day": -1}}}}),
        ("teams", {"teams": {"search": {"limits_by_tier": {"high": {"usd": 1}}}}}),
    ],
)
def test_a_schema_finds_what_a_start_would_refuse(name: str, wrong: object) -> None:
    assert not jsonschema.Draft202012Validator(build_schema(FILES[name], name)).is_valid(wrong)


class Watched(dict[str, str]):
    """Environment that records the names that are looked up."""

    def __init__(self, values: dict[str, str]) -> None:
        super().__init__(values)
        self.asked: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.asked.add(name)
        return super().get(name, default)

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        return super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        self.asked.add(str(name))
        return super().__contains__(name)


def test_every_variable_that_settings_ask_for_is_told() -> None:
    nothing, bucket = Watched({}), Watched({"STORAGE_URL": "s3://pictures"})
    for environment in (nothing, bucket):
        read_gateway(CONFIG / "gateway.yaml", environment)
    asked = nothing.asked | bucket.asked
    assert {"REDIS_URL", "AWS_ENDPOINT_URL", "ADMIN_PORT", "OPENAI_BASE_URL"} <= asked
    assert asked - NAMED == set()


def test_every_variable_of_a_command_is_told() -> None:
    def variables(command: Any) -> Iterator[str]:
        for parameter in command.params:
            variable = getattr(parameter, "envvar", None)
            yield from [variable] if isinstance(variable, str) else variable or ()
        for subcommand in getattr(command, "commands", {}).values():
            yield from variables(subcommand)

    names = {*variables(typer.main.get_command(app))}
    assert {"HOST", "PORT", "DATA_DIR", "IMAGE_GATEWAY_CONFIG"} <= names
    assert names - NAMED == set()


def test_every_variable_that_is_read_straight_is_told() -> None:
    sources = "".join(file.read_text("utf-8") for file in sorted((ROOT / "service").rglob("*.py")))
    names = {*re.findall(r"environ(?:\.get\(|\[)\"([A-Z_]+)\"", sources)}
    assert {"LOGNAME", "HOST"} <= names
    assert names - NAMED == set()


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [(["reference"], build_page()), (["schema", "teams"], render_schema("teams"))],
    ids=["reference", "schema"],
)
def test_the_commands_print_it(arguments: list[str], printed: str) -> None:
    done = CliRunner().invoke(app, arguments)
    assert (done.exit_code, done.output) == (0, printed)
