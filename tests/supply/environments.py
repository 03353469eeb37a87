"""Where the two environments of this room are; `make .venv-image .venv-audit` prepares them.

Rule: a missing one fails what needs it, and says how to make it.
"""

import os
import subprocess
from pathlib import Path

from tests.supply.locks import ROOT

IMAGE = Path(os.environ.get("IMAGE_ENVIRONMENT", str(ROOT / ".venv-image")))
"""What the image has, and nothing else."""

AUDIT = Path(os.environ.get("AUDIT_ENVIRONMENT", str(ROOT / ".venv-audit")))
"""pip-audit and cyclonedx-py."""


def program(environment: Path, name: str) -> Path:
    """A program of an environment."""
    path = environment / "bin" / name
    assert path.exists(), f"{path} is not there: make {environment.name}"
    return path


def release(environment: Path) -> str:
    """Of its Python, such as `3.11.2`."""
    script = "import platform; print(platform.python_version())"
    return subprocess.check_output([program(environment, "python"), "-c", script], text=True).strip()


def packages_folder(environment: Path) -> Path:
    """Where its packages are."""
    (found,) = environment.glob("lib/python3*/site-packages")
    return found
