"""Dockerfile and compose.yaml, as far as they can be checked without an engine. `check_container_*.py` has the rest."""

import json
import re
import shutil
from datetime import date
from pathlib import Path

import pytest

from service.domain.team_access import key_digest
from service.settings.environment_variables import PROCESS_VARIABLES, SECRET_VARIABLES, STORE_VARIABLES
from service.settings.gateway import GatewaySettings, read_gateway
from service.settings.models import read_catalog
from service.settings.teams import read_teams
from tools.container.engine import MissingEngine, need_engine
from tools.container.named import (
    COMPOSE,
    CONTAINER,
    DOCKERFILE,
    KEY,
    OVERLAY,
    ROOT,
    SETTINGS,
    compose,
    final_stage,
    image_of,
    mounted,
    services,
)
from tools.container.standins import TAGS
from tools.observe.prometheus import RULES, promtool

DOCKER = DOCKERFILE.read_text()
HAPROXY = (SETTINGS / "haproxy.cfg").read_text()
OURS = frozenset({"gateway", "minio", "bucket", "grafana"})
"""Services whose image is built here, or cannot be built from Debian's packages."""


def settings() -> GatewaySettings:
    """Read the settings of a gateway of compose.yaml, with its secrets in their files here."""
    environment = {name: str(value) for name, value in services()["gateway"]["environment"].items() if value}
    local = {name: value.replace("/run/secrets", str(SETTINGS / "secrets")) for name, value in environment.items()}
    return read_gateway(SETTINGS / "gateway.yaml", local)


def arguments(instruction: str) -> list[str]:
    """Return the JSON of the last such instruction of the final stage."""
    matches = re.findall(rf"^{instruction} (\[.*\])$", final_stage(), re.MULTILINE)
    words: list[str] = json.loads(matches[-1])
    return words


def test_the_image_runs_as_an_unprivileged_user_without_a_shell() -> None:
    assert re.search(r"^USER 10001:10001$", final_stage(), re.MULTILINE)
    assert re.search(r"^STOPSIGNAL SIGTERM$", final_stage(), re.MULTILINE)
    assert (arguments("ENTRYPOINT"), arguments("CMD")) == (["image-gateway"], ["serve"])
    assert re.search(
        r'^HEALTHCHECK .* CMD \["python", "-m", "service\.commands\.health"\]$', final_stage(), re.MULTILINE
    )


def test_both_builders_accept_the_dockerfile_with_any_base() -> None:
    assert re.findall(r"^FROM (\S+)", DOCKER, re.MULTILINE) == ["${PYTHON_IMAGE}"] * 2
    assert not re.search(r"--mount|<<|^# syntax", DOCKER, re.MULTILINE)


def test_every_installed_package_has_a_hash_or_is_the_gateway() -> None:
    assert "--require-hashes --only-binary :all:" in DOCKER
    installs = [line for line in DOCKER.splitlines() if re.search(r"pip\b.* (\$install|install|wheel) ", line)]
    assert len(installs) == 4
    assert all("$install" in line or "--no-index" in line for line in installs)
    assert "://" not in DOCKER


def test_the_build_context_has_exactly_the_copied_files() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKER, re.MULTILINE)
    named = {name for names in copied for name in names.split() if "cert" not in name and "$" not in name}
    assert all((ROOT / name).exists() for name in named)
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert {name if "/" not in name else "requirements/*.txt" for name in named} | {"build/pip/cert.pem"} == let_in
    (default,) = re.findall(r"^ARG REQUIREMENTS=(\S+)$", DOCKER, re.MULTILINE)
    assert (ROOT / default).exists()


def test_images_are_pinned_and_ports_are_local() -> None:
    for name, service in services().items():
        tag = service["image"].rpartition(":")[2]
        assert name == "gateway" or re.search(r"\d+\.\d+\.\d+|\d{4}-\d\d-\d\d|17\.\d+", tag), service["image"]
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_mounted_files_exist() -> None:
    assert all(path.exists() for path in mounted())
    assert (SETTINGS / "models.yaml").readlink() == Path("../models.yaml")


def test_gateways_run_hardened_and_have_time_to_drain() -> None:
    gateway = services()["gateway"]
    assert gateway["deploy"]["replicas"] == 2
    assert gateway["read_only"] is True
    assert gateway["cap_drop"] == ["ALL"]
    assert gateway["security_opt"] == ["no-new-privileges:true"]
    serving = settings().serving
    assert int(gateway["stop_grace_period"].removesuffix("s")) > serving.grace_seconds + serving.drain_seconds


def test_the_settings_enable_backends_and_teams() -> None:
    gateway = settings()
    catalog = read_catalog(SETTINGS / "models.yaml", date(2026, 11, 21))
    teams = read_teams(SETTINGS / "teams.yaml", catalog, gateway.all_backends)
    assert gateway.sandbox.enabled
    assert gateway.api_keys == {}
    assert gateway.storage is not None
    assert (gateway.metrics.port, gateway.admin.port) == (9464, 8081)
    assert key_digest(KEY) in teams.keys
    assert KEY in COMPOSE.read_text()
    assert KEY in (SETTINGS / "teams.yaml").read_text()


def test_the_gateway_knows_each_variable() -> None:
    known = {
        name.strip()
        for table in (PROCESS_VARIABLES, STORE_VARIABLES, SECRET_VARIABLES)
        for names in table
        for name in names.split(",")
    }
    ours = {name for name in services()["gateway"]["environment"] if not name.startswith("AWS_")}
    assert ours <= known


def test_quotas_are_never_evicted_and_results_may_be() -> None:
    money, results = (" ".join(services()[name]["command"]) for name in ("redis", "cache"))
    assert "--maxmemory-policy noeviction" in money
    assert "--appendonly yes" in money
    assert "--maxmemory-policy allkeys-lfu" in results


def test_the_load_balancer_waits_for_the_longest_call_and_repeats_none() -> None:
    deadline = max(vendor.deadline_seconds for vendor in settings().http_backends.values())
    for side in ("client", "server"):
        (seconds,) = re.findall(rf"^    timeout {side} (\d+)s\b", HAPROXY, re.MULTILINE)
        assert int(seconds) > deadline
    assert re.findall(r"^    retry-on (.+)$", HAPROXY, re.MULTILINE) == ["conn-failure"]
    assert "uri /health/ready" in HAPROXY
    assert "on-marked-down" not in HAPROXY


def test_prometheus_accepts_its_settings(tmp_path: Path) -> None:
    shutil.copyfile(SETTINGS / "prometheus.yml", tmp_path / "prometheus.yml")
    shutil.copyfile(RULES, tmp_path / "rules.yaml")
    output = promtool("check", "config", str(tmp_path / "prometheus.yml"))
    assert output.returncode == 0, output.stdout + output.stderr


def test_grafana_finds_its_source_and_the_dashboards() -> None:
    folder = SETTINGS / "grafana"
    (source,) = compose(folder / "datasource.yaml")["datasources"]
    assert (source["type"], source["isDefault"]) == ("prometheus", True)
    assert source["url"].startswith("http://prometheus:9090")
    (provider,) = compose(folder / "dashboards.yaml")["providers"]
    assert f"./config/grafana:{provider['options']['path']}:ro" in services()["grafana"]["volumes"]


def test_each_image_in_debian_can_be_built_from_its_packages() -> None:
    assert set(TAGS) == {path.name for path in (CONTAINER / "standins").iterdir()}
    made = {tag for tags in TAGS.values() for tag in tags}
    assert {image_of(name) for name in services() if name not in OURS} <= made
    assert set(services(OVERLAY)) == OURS - {"gateway"}


def test_a_missing_engine_is_reported_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(MissingEngine, match=r"No Docker engine answers\. tests/e2e/README\.md says"):
        need_engine()
