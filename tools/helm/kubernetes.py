"""Holds manifests against the schemas of Kubernetes, strictly. Run by the Python of `.venv-helm`.

    python kubernetes.py VERSION,VERSION < MANIFESTS

Prints one JSON object: `checked`, the kinds that were held against which schema, and `problems`, one line each. Kinds
of others (ServiceMonitor, HTTPRoute, …) are held against `others.json`, which has of them what the chart uses; a kind
that neither knows is a problem.
"""

import json
import sys
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped,unused-ignore] # of .venv-helm
import kubernetes_validate  # type: ignore[import-not-found,unused-ignore] # likewise
import yaml  # type: ignore[import-untyped,unused-ignore] # YAML 1.1, as Kubernetes reads it

OTHERS = json.loads(Path(__file__).with_name("others.json").read_text())


def problem(document: dict[str, Any], version: str) -> str | None:
    """What is wrong with a manifest, if anything is."""
    kind = f"{document['apiVersion']}/{document['kind']}"
    try:
        if kind in OTHERS:
            jsonschema.validate(document, OTHERS[kind])
        else:
            kubernetes_validate.validate(document, version, strict=True)
    except (jsonschema.ValidationError, kubernetes_validate.ValidationError) as wrong:
        return f"{kind} at {'.'.join(map(str, wrong.path))} in {version}: {wrong.message}"
    except kubernetes_validate.SchemaNotFoundError:
        return f"{kind} is unknown in {version}"
    return None


def main() -> None:
    found = [each for each in yaml.safe_load_all(sys.stdin) if each]
    said = [problem(each, version) for version in sys.argv[1].split(",") for each in found]
    checked = sorted({f"{each['apiVersion']}/{each['kind']}" for each in found})
    print(json.dumps({"checked": checked, "problems": [each for each in said if each]}))


if __name__ == "__main__":
    main()
