"""A vendor that cannot be called as the settings want it stops the start, with a word about where."""

from pathlib import Path

import pytest

from service.settings.files import SettingsError
from service.settings.gateway import read_gateway
from service.sources import vendor


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("proxy: socks5://127.0.0.1:1080", "the proxy must be an http or https address"),
        ("ca_file: /nowhere/authorities.pem", "No such file"),
        ("base_url: https://user:hidden@draw.test/v1", "must not hold a user name or password"),
    ],
)
def test_what_stops_the_start(tmp_path: Path, entry: str, words: str) -> None:
    file = tmp_path / "gateway.yaml"
    address = "" if entry.startswith("base_url") else "base_url: https://draw.test/v1, "
    file.write_text(f"backends: {{draw: {{dialect: openai, {address}api_key_env: DRAW_KEY, {entry}}}}}")
    settings = read_gateway(file, {"DRAW_KEY": "sk-operator"})

    with pytest.raises(SettingsError, match=words) as caught:
        vendor(settings, "draw")
    assert str(caught.value).startswith("gateway.yaml: $.backends.draw: ")
    assert "hidden" not in str(caught.value)
