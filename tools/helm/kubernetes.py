"""Validator of manifests against the schemas of Kubernetes, strictly. The Python of `.venv-helm` runs it.

    python kubernetes.py VERSION,VERSION < MANIFESTS

Prints one JSON object: `checked`, the kinds with the schema that each was compared with, and `problems`, one line each.
Kinds of other vendors (ServiceMonitor, HTTPRoute, …) are compared with `others.json`, which has the fields that the
chart uses. A kind without a schema is a problem.
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
    """Return the problem of a manifest, if there is one."""
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
    manifests = [document for document in yaml.safe_load_all(sys.stdin) if document]
    problems = [problem(document, version) for version in sys.argv[1].split(",") for document in manifests]
    checked = sorted({f"{document['apiVersion']}/{document['kind']}" for document in manifests})
    print(json.dumps({"checked": checked, "problems": [text for text in problems if text]}))


if __name__ == "__main__":
    main()
