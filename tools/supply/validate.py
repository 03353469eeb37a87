"""Validator of a file against the schema of CycloneDX 1.6, strictly. The Python of `.venv-audit` runs it.

Rule: exit code 0 if the file is valid; else 1, and the reason on standard error.
"""

import sys
from pathlib import Path

from cyclonedx.schema import SchemaVersion  # type: ignore[import-not-found,unused-ignore] # of .venv-audit
from cyclonedx.validation.json import JsonStrictValidator  # type: ignore[import-not-found,unused-ignore] # likewise

if __name__ == "__main__":
    wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(Path(sys.argv[1]).read_text())
    sys.exit(str(wrong) if wrong else 0)
