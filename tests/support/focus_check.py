"""Runs focus-validator, of the FinOps Foundation, on a file. Run by the Python of `.venv-focus`.

python focus_check.py FILE.csv VERSION

Prints one JSON object: the name of each check with its result. The validator is 1.0.0 from PyPI, of 2024, with three
changes. It uses names that numpy has removed: they are defined again. It looks for its list of currencies below the
working folder: that folder is set. Its rules for 1.0 misname four columns, and require one that 1.0 has renamed: those
columns get both names.
"""

import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np

GIVEN_UP = {"string_": "bytes_", "unicode_": "str_", "float_": "float64", "complex_": "complex128"}
ALSO_CALLED = {
    "ProviderName": "Provider",
    "PublisherName": "Publisher",
    "InvoiceIssuerName": "InvoiceIssuer",
    "ResourceId": "ResourceID",
    "ChargeCategory": "ChargeType",
}


def main() -> None:
    for old, new in GIVEN_UP.items():
        setattr(np, old, getattr(np, new))
    file, version = Path(sys.argv[1]).resolve(), sys.argv[2]
    spec = find_spec("focus_validator")
    assert spec is not None
    assert spec.origin is not None
    os.chdir(Path(spec.origin).parents[1])

    from focus_validator.validator import Validator  # noqa: PLC0415 (numpy and the folder have to be as it wants)

    checked = Validator(data_filename=str(file), rules_version=version, output_type="console", output_destination=None)
    checked.load()
    for name, other in ALSO_CALLED.items():
        if name in checked.focus_data:
            checked.focus_data[other] = checked.focus_data[name]
    result = checked.spec_rules.validate(checked.focus_data)
    print(json.dumps({name: check.status.value for name, check in result.checklist.items()}))


if __name__ == "__main__":
    main()
