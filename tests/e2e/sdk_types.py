"""Holds documents against the types of the vendors' SDKs, strictly. Run by the Python of an SDK's own environment.

    python sdk_types.py < documents

A line of JSON comes in for each document: the module and name of its type, and the document. A list of what is wrong
with each comes out, one JSON list a line. Strict: a field that has to be there is there, and no value is converted.
"""

import json
import sys
from importlib import import_module

import pydantic


def faults(module: str, name: str, document: object) -> list[str]:
    kind = pydantic.TypeAdapter(getattr(import_module(module), name))
    try:
        kind.validate_json(json.dumps(document), strict=True)
    except pydantic.ValidationError as wrong:
        return [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in wrong.errors()]
    return []


def main() -> None:
    for line in sys.stdin:
        sys.stdout.write(json.dumps(faults(*json.loads(line))) + "\n")


if __name__ == "__main__":
    main()
