"""The FOCUS validator, in its own environment: what it says of a file."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.support.environments import environment

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tests" / "support" / "focus_check.py"
NEWEST = "1.0"
"""The newest version that focus-validator 1.0.0 knows; it is the only release."""


def checked(file: Path, version: str = NEWEST) -> Mapping[str, str]:
    """Outcome of each check, by name."""
    python = environment(".venv-focus") / "bin" / "python"
    done = subprocess.run(
        [str(python), str(SCRIPT), str(file), version], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


def failed(file: Path, version: str = NEWEST) -> list[str]:
    """The checks that a file does not pass."""
    return sorted(name for name, status in checked(file, version).items() if status != "passed")
