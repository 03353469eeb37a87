"""The environments that these tools inspect."""

import subprocess
from pathlib import Path

from tests.support.environments import environment

IMAGE = ".venv-image"
"""The packages of the image, and nothing else."""

AUDIT = ".venv-audit"
"""pip-audit and cyclonedx-py."""


def program(target: str, name: str) -> Path:
    """Return a program of an environment."""
    return environment(target) / "bin" / name


def release(target: str) -> str:
    """Return the release of its Python, such as `3.11.2`."""
    script = "import platform; print(platform.python_version())"
    return subprocess.check_output([program(target, "python"), "-c", script], text=True).strip()


def packages_folder(target: str) -> Path:
    """Return the folder of its packages."""
    (folder,) = environment(target).glob("lib/python3*/site-packages")
    return folder
