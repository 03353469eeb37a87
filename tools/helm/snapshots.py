"""Objects of a value set as short text: a text that stands in `config/` is named instead of repeated.

Labels that every object carries are left out; `tests/tools/check_helm_rendered.py` checks them.
"""

import hashlib
from collections.abc import Mapping
from copy import deepcopy

import msgspec
from ruamel.yaml import YAML

from tools.helm.chart import CONFIG, ROOT, Document, rendered, settings_of

FOLDER = ROOT / "tests" / "recorded" / "helm"
LABEL = "{{ $externalLabels.docs }}"
DOCS = "https://git.example.com/image-gateway/blob/main/"
RULES = {LABEL: "= config/prometheus/rules.yaml", DOCS: f"= config/prometheus/rules.yaml, with {DOCS}"}
COMMON = frozenset(
    {
        "app.kubernetes.io/name",
        "app.kubernetes.io/instance",
        "app.kubernetes.io/version",
        "app.kubernetes.io/managed-by",
        "helm.sh/chart",
    }
)


def snapshot(name: str) -> str:
    """Return the text for a value set."""
    objects = rendered(name)
    shown = (_shortened(document, settings_of(objects)) for document in objects)
    return "---\n".join(msgspec.yaml.encode(document).decode() for document in shown)


def _shortened(document: Document, settings: Mapping[str, str]) -> Document:
    short = deepcopy(document)
    labels = {name: value for name, value in short["metadata"].pop("labels").items() if name not in COMMON}
    if labels:
        short["metadata"]["labels"] = labels
    if "data" in short:
        short["data"] = {name: _named(text) for name, text in short["data"].items()}
    if short["kind"] == "PrometheusRule":
        short["spec"] = next((name for docs, name in RULES.items() if short["spec"] == rules(docs)), short["spec"])
    if short["kind"] == "Deployment":
        _name_checksum(short["spec"]["template"]["metadata"]["annotations"], settings)
    return short


def _named(text: str) -> str | list[str]:
    """Return the place of a text, outermost first, else its lines."""
    files = sorted(CONFIG.rglob("*"), key=lambda path: (len(path.parts), path))
    names = (path for path in files if path.is_file() and path.read_text() == text)
    return next((f"= {path.relative_to(ROOT)}" for path in names), text.splitlines())


def _name_checksum(annotations: dict[str, str], settings: Mapping[str, str]) -> None:
    for key, value in annotations.items():
        if key.startswith("checksum/"):
            text = settings[key.removeprefix("checksum/")]
            annotations[key] = "= its SHA-256" if value == hashlib.sha256(text.encode()).hexdigest() else value


def rules(docs: str) -> Document:
    """Return the rules for Prometheus, with runbooks below `docs`."""
    text = (CONFIG / "prometheus" / "rules.yaml").read_text().replace(LABEL, docs)
    document: Document = YAML(typ="safe", pure=True).load(text)
    return document
