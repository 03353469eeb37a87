"""Address of the metrics."""

from pathlib import Path

import pytest

from service.settings.gateway import read_gateway
from service.settings.gateway_file import MetricsSection
from service.settings.yaml_file import SettingsError


def read(tmp_path: Path, text: str = "{}", **environment: str) -> MetricsSection:
    file = tmp_path / "gateway.yaml"
    file.write_text(text)
    return read_gateway(file, environment).metrics


OWN = "metrics: {host: 127.0.0.1, port: 9464, collect_seconds: 1}"


def test_without_a_word_they_are_on_the_gateways_port(tmp_path: Path) -> None:
    assert read(tmp_path) == MetricsSection(host=None, port=None, collect_seconds=5.0)


def test_a_port_of_their_own(tmp_path: Path) -> None:
    assert read(tmp_path, OWN) == MetricsSection(host="127.0.0.1", port=9464, collect_seconds=1.0)
    assert read(tmp_path, METRICS_PORT="0", METRICS_HOST="::1") == MetricsSection(host="::1", port=0)
    assert read(tmp_path, OWN, METRICS_PORT="9000") == MetricsSection(host="127.0.0.1", port=9000, collect_seconds=1.0)


@pytest.mark.parametrize("port", ["nine", "65536", "-1", "٩"])
def test_a_variable_that_is_no_port(tmp_path: Path, port: str) -> None:
    with pytest.raises(SettingsError, match="METRICS_PORT"):
        read(tmp_path, METRICS_PORT=port)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("metrics: {port: 65536}", r"\$\.metrics\.port"),
        ("metrics: {collect_seconds: 0}", r"\$\.metrics\.collect_seconds"),
        ("metrics: {host: 127.0.0.1}", r"\$\.metrics: a host needs a port"),
        ("metrics: {ports: 1}", "ports"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, text: str, place: str) -> None:
    with pytest.raises(SettingsError, match=place):
        read(tmp_path, text)
