"""docs/migrating.md: a start accepts the worked example, and a key of LiteLLM's opens the gateway.

Rule: the files are those of the page, by the names of their fences. The page's changes of the shipped models.yaml are
merged into it. Each metric on the page has to be declared.
"""

import hashlib
import io
import re
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import httpx2
import pytest
from ruamel.yaml import YAML

from service.adapters.metrics.declared import ALL
from service.domain.catalog import Policy
from service.settings.reloadable_files import ReloadableFiles
from tests.conftest import CONFIG
from tests.support.gateway import GatewayProcess, clean_environment, run_command, with_slow_stores

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "migrating.md").read_text("utf-8")
FENCED = dict(re.findall(r"^```yaml ([\w.]+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
DAY = date(2026, 11, 21)
LITELLMS = "sk-1234567890abcdef"
KEYS = {"OPENAI_API_KEY": "sk-one", "OPENAI_API_KEY_TWO": "sk-two", "TOGETHERAI_API_KEY": "tgp-three"}


def laid_over(below: Any, above: Any) -> Any:
    """Merge a document into another one, key by key."""
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    return {**below, **{name: laid_over(below.get(name), value) for name, value in above.items()}}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's three files."""
    folder = tmp_path_factory.mktemp("settings") / "config"
    shutil.copytree(CONFIG, folder, ignore=shutil.ignore_patterns("grafana", "prometheus", "schemas"))
    yaml = YAML(typ="safe", pure=True)
    models = laid_over(yaml.load((CONFIG / "models.yaml").read_text()), yaml.load(FENCED["models.yaml"]))
    written = io.StringIO()
    yaml.dump(models, written)
    (folder / "models.yaml").write_text(written.getvalue())
    (folder / "gateway.yaml").write_text(FENCED["gateway.yaml"])
    (folder / "teams.yaml").write_text(FENCED["teams.yaml"])
    return folder


def test_the_examples_settings_are_accepted(config: Path) -> None:
    done = run_command("check", "--config", str(config), environment=clean_environment(**KEYS))
    assert done.returncode == 0, done.stderr
    assert "1 teams, 1 keys; backends on: openai, openai-two, together" in done.stdout


def test_the_examples_settings_match_the_page(config: Path) -> None:
    files = ReloadableFiles(folder=config, today=lambda: DAY, backends={"openai", "openai-two", "together", "sandbox"})
    known = files.read()
    model = known.catalog.models["gpt-image-2"]
    assert model.policy is Policy.WEIGHTED
    assert [(route.backend, route.weight) for route in model.routes[:3]] == [
        ("openai", 3),
        ("openai-two", 1),
        ("together", 0),
    ]
    assert known.catalog.models["black-forest-labs/FLUX.2-pro"].aliases == ("flux",)
    asked = {entry["model_name"] for entry in YAML(typ="safe").load(FENCED["litellm"])["model_list"]}
    names = {
        *known.catalog.models,
        *(alias for one in known.catalog.models.values() for alias in one.aliases),
    }
    assert asked <= names


@pytest.fixture(scope="module")
def gateway(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """The example, with the sandbox alone."""
    settings = config / "gateway.yaml"
    settings.write_text(with_slow_stores(settings.read_text() + "sandbox: { enabled: true }\n"))
    with GatewayProcess(tmp_path_factory.mktemp("data"), {"IMAGE_GATEWAY_CONFIG": str(config)}, options=()) as process:
        yield process


def test_a_key_of_litellms_opens_the_gateway(gateway: GatewayProcess, http: httpx2.Client) -> None:
    assert hashlib.sha256(LITELLMS.encode()).hexdigest() in FENCED["teams.yaml"]
    reply = http.post(
        f"{gateway.url}/v1/images/generations",
        json={"model": "flux", "prompt": "a red fox"},
        headers={"authorization": f"Bearer {LITELLMS}"},
    )
    assert reply.status_code == 200, reply.text
    assert reply.headers["x-ratelimit-limit-requests"] == "600"


def test_every_gateway_metric_on_the_page_is_declared() -> None:
    named = {*re.findall(r"`(gateway_\w+)`", PAGE)}
    assert len(named) > 8
    assert named <= {metric.name for metric in ALL}
