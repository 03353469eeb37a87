"""Separate environments of the tests: the vendors' SDKs, validators, the packages of the image.

Rule: a test requests an environment here. `make` builds it if it is absent or older than its lock file. One worker does
that under a file lock, and the others wait. The environment that runs the tests never changes.

Fails with: the output of make.
"""

import fcntl
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCK = ROOT / ".tools" / "environments.lock"
OURS = os.path.relpath(sys.prefix, ROOT)
PYTHON = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
OF_A_MAKE_ABOVE = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES")


@cache
def environment(target: str) -> Path:
    """Return the folder of a complete environment, such as `.venv-focus` or `.venv-sdk/new`."""
    keep = [f"--old-file={OURS}/{stamp}" for stamp in (".run", ".dev")]
    LOCK.parent.mkdir(exist_ok=True)
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(
            ["make", "--silent", *keep, f"VENV={OURS}", f"PYTHON={PYTHON}", target],
            cwd=ROOT,
            env={name: value for name, value in os.environ.items() if name not in OF_A_MAKE_ABOVE},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, f"make {target}: {done.stdout}{done.stderr}"
    made = ROOT / target
    return made if made.is_dir() else made.parent


def sdk(name: str) -> Path:
    """Return the environment of a vendor's SDK: `new` and `old` for Python, `js` with its Node."""
    return environment(".venv-sdk/js/.npm" if name == "js" else f".venv-sdk/{name}")


def sdk_python(generation: str) -> str:
    """Return the Python that has a generation of the SDKs."""
    return str(sdk(generation) / "bin" / "python")
