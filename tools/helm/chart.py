"""The Helm chart, and what the real `helm` makes of it.

Rule: `helm` comes from `HELM` (`make chart` sets it), else from PATH; where there is none whoever needs it fails and
says so. What `helm` refuses is a `Refused` with its words.
"""

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "config"
CHART = ROOT / "helm" / "image-gateway"
SETS = ("minimal", "production", "everything")
FILES = {
    "gateway.yaml": CONFIG / "gateway.yaml",
    "models.yaml": CONFIG / "models.yaml",
    "teams.yaml": CONFIG / "teams.yaml",
    "rules.yaml": CONFIG / "prometheus" / "rules.yaml",
    "grafana": CONFIG / "grafana",
}
"""What the chart's folder `files` has of `config`, by link."""

ADVICE = "`make chart` builds one with Go; or put a release of Helm 3 (https://helm.sh) into PATH"
RELEASE, NAMESPACE, CLUSTER = "igw", "images", "1.37"

Document = dict[str, Any]


class MissingHelm(Exception):
    """There is no `helm`."""


class Refused(Exception):
    """What `helm` said when it refused."""


def helm(*arguments: str) -> str:
    """What `helm` prints. It tells on standard error of each link that it follows; that is no news."""
    program = os.environ.get("HELM") or shutil.which("helm")
    if not program or not shutil.which(program):
        raise MissingHelm(f"There is no helm on this machine. {ADVICE}")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in (done.stderr + done.stdout).splitlines() if "found symbolic link" not in line]
        raise Refused("\n".join(said))
    return done.stdout


def values_of(name: str) -> Path:
    """A value set of `ci/`."""
    return CHART / "ci" / f"{name}-values.yaml"


def manifest(name: str, *options: str, chart: Path = CHART) -> str:
    """The manifests of a value set, as text."""
    chosen = ("--namespace", NAMESPACE, "--kube-version", CLUSTER, "--values", str(values_of(name)))
    return helm("template", RELEASE, str(chart), *chosen, *options)


def documents(text: str) -> list[Document]:
    """The objects in a text, by kind and name."""
    found = [each for each in YAML(typ="safe", pure=True).load_all(text) if each]
    return sorted(found, key=lambda each: (each["kind"], each["metadata"]["name"]))


def rendered(name: str, *options: str, chart: Path = CHART) -> list[Document]:
    """The objects of a value set."""
    return documents(manifest(name, *options, chart=chart))


def only(found: Iterable[Document], kind: str, end: str = "") -> Document:
    """The one object of a kind whose name ends so."""
    (one,) = (each for each in found if each["kind"] == kind and each["metadata"]["name"].endswith(end))
    return one


def settings_of(found: Iterable[Document]) -> Mapping[str, str]:
    """The files of the ConfigMap that the gateway reads: their names and texts."""
    data: Mapping[str, str] = only(found, "ConfigMap", "image-gateway")["data"]
    return data


def pods(found: Iterable[Document]) -> list[Document]:
    """The pods that would run."""
    return [each["spec"]["template"] for each in found if each["kind"] in {"Deployment", "Job"}]
