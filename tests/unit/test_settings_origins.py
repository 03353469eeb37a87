"""Origins are written as browsers send them; what never matches stops the start."""

from pathlib import Path

import pytest

from service.settings.gateway import read_gateway
from service.settings.yaml_file import SettingsError


def read(folder: Path, text: str) -> frozenset[str]:
    file = folder / "gateway.yaml"
    file.write_text(text)
    return read_gateway(file, {}).cors.origins


@pytest.mark.parametrize(
    "origin",
    ["https://app.example.com", "http://localhost:5173", "http://[::1]:3000", "chrome-extension://abc", "*"],
)
def test_origins(tmp_path: Path, origin: str) -> None:
    assert read(tmp_path, f"cors: {{origins: ['{origin}']}}\n") == {origin}


def test_no_page_may_call_by_default(tmp_path: Path) -> None:
    assert read(tmp_path, "{}\n") == frozenset()


@pytest.mark.parametrize(
    ("origin", "reason"),
    [
        ("app.example.com", "is not an origin"),
        ("https://app.example.com/", "is not an origin"),
        ("https://App.example.com", "is not an origin"),
        ("https://*.example.com", "is not an origin"),
        ("null", "is not an origin"),
        ("", "is not an origin"),
        ("https://app.example.com:443", "never matches: browsers leave port 443 out"),
        ("http://app.example.com:80", "never matches: browsers leave port 80 out"),
    ],
)
def test_what_no_browser_sends(tmp_path: Path, origin: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason) as refused:
        read(tmp_path, f"cors: {{origins: ['{origin}']}}\n")
    assert "gateway.yaml: $.cors.origins" in str(refused.value)
