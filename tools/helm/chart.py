"""The Helm chart, and the objects that the real `helm` renders.

Rule: `helm` comes from `HELM` (`make chart` sets it), else from PATH. Without it a caller gets an error that names the
remedy. If `helm` refuses, a `Refused` has its message.
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
"""Files of the chart's folder `files`, which are links to `config`."""

ADVICE = "`make chart` builds one with Go; or put a release of Helm 3 (https://helm.sh) into PATH"
RELEASE, NAMESPACE, CLUSTER = "igw", "images", "1.37"

Document = dict[str, Any]


class MissingHelm(Exception):
    """`helm` is missing."""


class Refused(Exception):
    """`helm` refused; the message is its own."""


def helm(*arguments: str) -> str:
    """Return the output of `helm`. Its notes on each link that it follows are dropped."""
    program = os.environ.get("HELM") or shutil.which("helm")
    if not program or not shutil.which(program):
        raise MissingHelm(f"There is no helm on this machine. {ADVICE}")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if "found symbolic link" not in line]
        raise Refused("\n".join(lines))
    return done.stdout


def values_of(name: str) -> Path:
    """Return the path of a value set of `ci/`."""
    return CHART / "ci" / f"{name}-values.yaml"


def manifest(name: str, *options: str, chart: Path = CHART) -> str:
    """Return the manifests of a value set, as text."""
    chosen = ("--namespace", NAMESPACE, "--kube-version", CLUSTER, "--values", str(values_of(name)))
    return helm("template", RELEASE, str(chart), *chosen, *options)


def documents(text: str) -> list[Document]:
    """Return the objects in a text, by kind and name."""
    objects = [document for document in YAML(typ="safe", pure=True).load_all(text) if document]
    return sorted(objects, key=lambda document: (document["kind"], document["metadata"]["name"]))


def rendered(name: str, *options: str, chart: Path = CHART) -> list[Document]:
    """Return the objects of a value set."""
    return documents(manifest(name, *options, chart=chart))


def only(objects: Iterable[Document], kind: str, end: str = "") -> Document:
    """Return the only object of a kind whose name ends with `end`."""
    of_kind = (document for document in objects if document["kind"] == kind)
    (one,) = (document for document in of_kind if document["metadata"]["name"].endswith(end))
    return one


def settings_of(objects: Iterable[Document]) -> Mapping[str, str]:
    """Return names and texts of the files in the gateway's ConfigMap."""
    data: Mapping[str, str] = only(objects, "ConfigMap", "image-gateway")["data"]
    return data


def pods(objects: Iterable[Document]) -> list[Document]:
    """Return the pods that would run."""
    return [document["spec"]["template"] for document in objects if document["kind"] in {"Deployment", "Job"}]
