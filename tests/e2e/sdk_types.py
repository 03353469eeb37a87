"""Holds documents against the types of the vendors' SDKs, strictly. Run by the Python of an SDK's own environment.

    python sdk_types.py < documents

A line of JSON comes in for each document: the module and name of its type, and the document. `A[B]` is a type of
types: B is one of openai.types. A list of what is wrong
with each comes out, one JSON list a line. Strict: a field that has to be there is there, and no value is converted.
"""

import json
import sys
from importlib import import_module
from typing import Any

import pydantic


def faults(module: str, name: str, document: object) -> list[str]:
    outer, _, inner = name.rstrip("]").partition("[")
    found: Any = getattr(import_module(module), outer)
    if inner:
        found = found.__class_getitem__(getattr(import_module("openai.types"), inner))
    kind: Any = pydantic.TypeAdapter(found)
    try:
        kind.validate_json(json.dumps(document), strict=True)
    except pydantic.ValidationError as wrong:
        return [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in wrong.errors()]
    return []


def main() -> None:
    for line in sys.stdin:
        print(json.dumps(faults(*json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
