"""Installs that messages name exist."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from service import __version__
from service.adapters.optional_packages import WHEEL, install_hint

ROOT = Path(__file__).parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
OFF_THE_INDEX = re.compile(r"pip install '?image-gateway|image-gateway\[")
OLD = {"CHANGELOG.md", "tests/unit/test_optional_packages.py"}
"""Pages about the past, and this file."""


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_is_installed_from_a_checkout_or_a_wheel(extra: str) -> None:
    assert install_hint(extra) == (
        f"it needs the extra '{extra}': pip install '.[{extra}]' in the folder of the gateway's source, "
        f"or pip install 'image_gateway-{__version__}-py3-none-any.whl[{extra}]' from its wheel"
    )


def test_every_extra_that_is_named_is_one() -> None:
    sources = [path.read_text("utf-8") for path in (ROOT / "service").rglob("*.py")]
    named = {name for text in sources for name in re.findall(r"""install_hint\(['"](\w+)['"]\)""", text)}

    assert named == {*EXTRAS}


def test_no_page_or_message_names_a_package_that_is_on_no_index() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    wheels = re.compile(r"image_gateway-([\d.]+)-py3")
    for name in listed.split("\0"):
        file = ROOT / name
        if name in OLD or not name or not file.is_file() or file.is_symlink():
            continue
        text = file.read_bytes().decode("utf-8", "replace")
        assert not OFF_THE_INDEX.search(text), name
        assert {*wheels.findall(text)} <= {WHEEL.split("-")[1]}, name
