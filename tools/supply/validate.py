"""Holds a file against the schema of CycloneDX 1.6, strictly. Run by the Python of `.venv-audit`.

Rule: 0 where it is valid; else 1 and what is wrong, on standard error.
"""

import sys
from pathlib import Path

from cyclonedx.schema import SchemaVersion  # type: ignore[import-not-found,unused-ignore] # of .venv-audit
from cyclonedx.validation.json import JsonStrictValidator  # type: ignore[import-not-found,unused-ignore] # likewise

if __name__ == "__main__":
    wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(Path(sys.argv[1]).read_text())
    sys.exit(str(wrong) if wrong else 0)
