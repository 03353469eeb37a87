"""A vendor that cannot be called as the settings want it stops the start, with a word about where."""

from pathlib import Path

import pytest

from service.adapters.backends.http import HttpBackend
from service.composition.upstream import build_vendor
from service.settings.gateway import GatewaySettings, read_gateway
from service.settings.yaml_file import SettingsError


def drawing(tmp_path: Path, entry: str = "") -> GatewaySettings:
    file = tmp_path / "gateway.yaml"
    address = "dialect: openai, base_url: https://draw.test/v1, api_key_env: DRAW_KEY"
    file.write_text(f"backends: {{draw: {{{address}, {entry}}}}}")
    return read_gateway(file, {"DRAW_KEY": "sk-operator"})


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("proxy: socks5://127.0.0.1:1080", "the proxy must be an http or https address"),
        ("ca_file: /nowhere/authorities.pem", "No such file"),
    ],
)
def test_what_stops_the_start(tmp_path: Path, entry: str, words: str) -> None:
    settings = drawing(tmp_path, entry)

    with pytest.raises(SettingsError, match=words) as caught:
        build_vendor(settings, "draw")
    assert str(caught.value).startswith("gateway.yaml: $.backends.draw")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ALL_PROXY", "socks5://us:hidden@127.0.0.1:1080", "ALL_PROXY: the proxy must be an http or https address"),
        ("all_proxy", "socks5h://127.0.0.1:1080", "ALL_PROXY: the proxy must"),
        ("HTTPS_PROXY", "http://", "HTTPS_PROXY: the proxy must"),
        ("HTTPS_PROXY", "http://proxy:port", "HTTPS_PROXY: the proxy must"),
    ],
)
def test_a_proxy_of_the_environment_is_named_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    for other in ("ALL_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(other, raising=False)
        monkeypatch.delenv(other.lower(), raising=False)
    monkeypatch.setenv(name, value)
    settings = drawing(tmp_path)

    with pytest.raises(SettingsError, match="^" + words) as caught:
        build_vendor(settings, "draw")
    assert "hidden" not in str(caught.value)
    monkeypatch.setenv("NO_PROXY", "draw.test")
    assert isinstance(build_vendor(settings, "draw"), HttpBackend)
