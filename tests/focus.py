"""The FOCUS validator, in its own environment: what it says of a file."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "tests" / "e2e" / "focus_check.py"
PYTHON = Path(os.environ.get("FOCUS_ENVIRONMENT", str(ROOT / ".venv-focus"))) / "bin" / "python"
NEWEST = "1.0"
"""The newest version that focus-validator 1.0.0 knows; it is the only release."""


def checked(file: Path, version: str = NEWEST) -> Mapping[str, str]:
    """What came of each check, by name. Fails without the environment; `make .venv-focus` prepares it."""
    assert PYTHON.exists(), f"{PYTHON} is not there: make .venv-focus"
    done = subprocess.run(
        [str(PYTHON), str(SCRIPT), str(file), version], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


def failed(file: Path, version: str = NEWEST) -> list[str]:
    """The checks that a file does not pass."""
    return sorted(name for name, status in checked(file, version).items() if status != "passed")
