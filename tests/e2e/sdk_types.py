"""Strict check of documents against the types of the vendors' SDKs. Run by the Python of an SDK's own environment.

python sdk_types.py < documents

Input: a line of JSON for each document, with the module and name of its type, and the document. `A[B]` is a generic
type: B is a type of openai.types. Output: a JSON list of faults for each document, one per line. Strict: required
fields are present, and no value is converted.
"""

import json
import sys
from importlib import import_module
from typing import Any

import pydantic


def faults(module: str, name: str, document: object) -> list[str]:
    outer, _, inner = name.rstrip("]").partition("[")
    kind: Any = getattr(import_module(module), outer)
    if inner:
        kind = kind.__class_getitem__(getattr(import_module("openai.types"), inner))
    adapter: Any = pydantic.TypeAdapter(kind)
    try:
        adapter.validate_json(json.dumps(document), strict=True)
    except pydantic.ValidationError as wrong:
        return [f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in wrong.errors()]
    return []


def main() -> None:
    for line in sys.stdin:
        print(json.dumps(faults(*json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
