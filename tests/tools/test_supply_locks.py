"""The requirements files agree with each other and with the product's requirements."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools.supply.locks import REQUIREMENTS, ROOT, lines, linux, pins

FILES = sorted(path.name for path in REQUIREMENTS.glob("*.txt"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


@pytest.mark.parametrize("file", ["image.txt", "build.txt"])
def test_the_image_has_the_package_versions_of_make_run(file: str) -> None:
    assert pins(file).items() <= pins("run.txt").items()


def test_tests_run_with_the_shipped_packages() -> None:
    assert pins("run.txt").items() <= pins("dev.txt").items()


@pytest.mark.parametrize("file", FILES)
def test_every_package_is_pinned_to_one_version_with_hashes(file: str) -> None:
    entries = re.split(r"\n(?=[a-zA-Z0-9])", (REQUIREMENTS / file).read_text())[1:]
    assert len(entries) == len(lines(file)) > 0
    assert [entry for entry in entries if not HASH.search(entry)] == []


@pytest.mark.parametrize("python", ["3.11", "3.13"])
def test_the_image_has_the_requirements_of_the_product_and_its_extras(python: str) -> None:
    extras = PROJECT["optional-dependencies"]
    required = [Requirement(text) for text in (*PROJECT["dependencies"], *extras["embedded"], *extras["otel"])]
    pinned = pins("image.txt", linux(python))
    assert [one for one in required if not one.specifier.contains(pinned[canonicalize_name(one.name)])] == []


def test_the_image_has_no_tools() -> None:
    left_out = {"pyarrow", "hatchling", "editables", "pip", "setuptools", "pytest"}
    assert left_out & pins("image.txt").keys() == set()


def test_every_file_is_made_by_the_same_script() -> None:
    made = set(re.findall(r"^compile (\S+)", (REQUIREMENTS / "lock.sh").read_text(), re.MULTILINE))
    assert made == set(FILES)
