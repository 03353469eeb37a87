"""FOCUS validator in its own environment, and its results for a file."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.support.environments import environment

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tests" / "support" / "focus_check.py"
NEWEST = "1.0"
"""Newest version that focus-validator 1.0.0 knows. 1.0.0 is its only release."""


def checked(file: Path, version: str = NEWEST) -> Mapping[str, str]:
    """Return the result of each check, by name."""
    python = environment(".venv-focus") / "bin" / "python"
    done = subprocess.run(
        [str(python), str(SCRIPT), str(file), version], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    results: dict[str, str] = json.loads(done.stdout)
    return results


def failed(file: Path, version: str = NEWEST) -> list[str]:
    """Return the failed checks of a file."""
    return sorted(name for name, status in checked(file, version).items() if status != "passed")
