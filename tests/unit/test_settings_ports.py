"""Ports of their own, for metrics and for admin: the same words, the same refusals."""

from pathlib import Path

import pytest

from service.settings.gateway import read_gateway
from service.settings.gateway_file import AdminSection
from service.settings.yaml_file import SettingsError


def read(tmp_path: Path, text: str = "{}", **environment: str) -> AdminSection:
    file = tmp_path / "gateway.yaml"
    file.write_text(text)
    return read_gateway(file, environment).admin


OWN = "admin: {host: 127.0.0.1, port: 8081}"


def test_without_a_word_admin_is_on_the_gateways_port(tmp_path: Path) -> None:
    assert read(tmp_path) == AdminSection(host=None, port=None)
    assert read(tmp_path, ADMIN_PORT="", ADMIN_HOST="") == AdminSection()


def test_a_port_of_its_own(tmp_path: Path) -> None:
    assert read(tmp_path, OWN) == AdminSection(host="127.0.0.1", port=8081)
    assert read(tmp_path, ADMIN_PORT="0", ADMIN_HOST="::1") == AdminSection(host="::1", port=0)
    assert read(tmp_path, OWN, ADMIN_PORT="9000") == AdminSection(host="127.0.0.1", port=9000)


def test_the_port_of_metrics_is_not_that_of_admin(tmp_path: Path) -> None:
    assert read(tmp_path, "metrics: {port: 9464}", METRICS_PORT="9000") == AdminSection()


@pytest.mark.parametrize("port", ["nine", "65536", "-1", "٩"])
def test_a_variable_that_is_no_port(tmp_path: Path, port: str) -> None:
    with pytest.raises(SettingsError, match="ADMIN_PORT"):
        read(tmp_path, ADMIN_PORT=port)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("admin: {port: 65536}", r"\$\.admin\.port"),
        ("admin: {host: 127.0.0.1}", r"\$\.admin: a host needs a port"),
        ("admin: {ports: 1}", "ports"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, text: str, place: str) -> None:
    with pytest.raises(SettingsError, match=place):
        read(tmp_path, text)
