"""The chart, as far as it can be checked without `helm`. `check_helm_*.py`, which `make chart` runs, has the rest."""

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from ruamel.yaml import YAML

from service import __version__
from service.adapters.metrics.declared import ALL
from service.api.http.path_aliases import AZURE_V1
from service.settings.backend_settings import HttpBackendEntry
from service.settings.gateway_file import ServingSection
from tools.helm.chart import CHART, FILES, ROOT, SETS, values_of
from tools.helm.table import README, default, leaves, readme, schema, values

HELPERS = (CHART / "templates" / "_helpers.tpl").read_text()


def chart() -> Mapping[str, Any]:
    document: Mapping[str, Any] = YAML(typ="safe", pure=True).load(CHART / "Chart.yaml")
    return document


def described() -> Iterable[str]:
    """Return the paths of the API's description."""
    document: Mapping[str, Mapping[str, Any]] = YAML(typ="safe").load(ROOT / "openapi" / "openapi.yaml")
    return document["paths"]


def paths(part: Mapping[str, Any], ends: frozenset[str], path: str = "") -> Iterator[str]:
    """Yield the paths of values, down to those with a row."""
    for name, value in part.items():
        whole = f"{path}{name}"
        if whole in ends or not isinstance(value, dict):
            yield whole
        else:
            yield from paths(value, ends, f"{whole}.")


def test_the_charts_files_are_links_to_those_of_config() -> None:
    links = {path.name: path for path in (CHART / "files").iterdir()}
    assert links.keys() == FILES.keys()
    for name, path in links.items():
        assert path.is_symlink()
        assert path.readlink() == Path("../../..") / FILES[name].relative_to(ROOT)
        assert path.resolve() == FILES[name]


def test_the_readme_has_the_table_of_values() -> None:
    assert README.read_text() == readme(), "run `make chart-files`"


def test_each_value_has_a_row_and_each_row_a_value() -> None:
    rows = [path for path, _ in leaves(schema())]
    assert sorted(paths(values(), frozenset(rows))) == sorted(rows)
    assert all(entry["description"] for _, entry in leaves(schema()))


@pytest.mark.parametrize("kind", ["ingress", "httpRoute"])
def test_the_ingress_routes_exactly_the_paths_of_callers(kind: str) -> None:
    """The API by its description, also in Azure's spelling, and its documents; no admin, health or metrics."""
    served = {path for path in described() if not path.startswith(("/admin/", "/health/"))}
    served |= {f"{AZURE_V1}images/generations", "/openai/deployments/gpt-image-2/images/edits"}
    served |= {"/docs", "/openapi.yaml"}
    routed = values()[kind]["paths"]
    assert {path for path in served if not path.startswith(tuple(routed))} == set()
    assert {prefix for prefix in routed if not any(path.startswith(prefix) for path in served)} == set()
    assert not any(prefix.startswith(("/admin", "/health", "/metrics")) for prefix in routed)


def test_the_chart_has_the_version_of_the_gateway() -> None:
    assert chart()["appVersion"] == chart()["version"] == __version__


def test_the_value_sets_are_the_tested_ones() -> None:
    assert {path.name for path in (CHART / "ci").iterdir()} == {values_of(name).name for name in SETS}


def test_the_charts_values_equal_the_defaults_of_the_settings() -> None:
    serving, vendor = ServingSection(), HttpBackendEntry(dialect="openai", base_url="https://example.com")
    assert f"ternary $backend.deadline_seconds {vendor.deadline_seconds:.0f})" in HELPERS
    assert f"ternary $serving.grace_seconds {serving.grace_seconds:.0f} " in HELPERS
    assert f"ternary $serving.drain_seconds {serving.drain_seconds:.0f} " in HELPERS


def test_the_metric_of_the_autoscaler_exists() -> None:
    name = default("autoscaling.inFlight.metric")
    assert name in {family.name for family in ALL}
    assert f"seriesQuery: {name}{{" in README.read_text()


def test_no_value_is_a_secret() -> None:
    text = msgspec.json.encode(
        [values(), *(YAML(typ="safe", pure=True).load(values_of(name)) for name in SETS)]
    ).decode()
    assert re.findall(r"sk-[A-Za-z0-9]|password|://[^/\"]*@", text) == []


def test_kubernetes_accepts_the_exceptions_of_the_network_policy() -> None:
    """kube-apiserver 1.36 refuses an exception that is IPv4-mapped, or is no strict subset of its block."""
    vendors = msgspec.yaml.decode((CHART / "values.yaml").read_bytes())["networkPolicy"]["vendors"]
    assert all(ipaddress.IPv4Network(network).prefixlen > 0 for network in vendors["except4"])
    mapped = ipaddress.IPv6Network("::ffff:0:0/96")
    networks = [ipaddress.IPv6Network(network) for network in vendors["except6"]]
    assert [one for one in networks if one.prefixlen == 0 or one.subnet_of(mapped)] == []
