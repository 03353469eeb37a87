"""Reads requirements/*.txt as uv wrote them.

Rule: a line that does not begin with a blank or a # is one pinned package, with its hashes below it; anything else that
stands there is an error of `packaging`. Which pins hold where is asked of their markers.
"""

from collections.abc import Mapping
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ROOT / "requirements"
SHIPPED = ("image.txt", "run.txt", "build.txt")
"""What the product runs with, and what builds it. Everything else is for tests and for tools."""
LATER = ".4"
"""Of a series any release that is not one of the first, for which redis asks for more."""


def linux(python: str) -> dict[str, str]:
    """The environment of CPython `python`, such as `3.13` or `3.11.2`, on Linux x86-64, as markers see it."""
    series, release = ".".join(python.split(".")[:2]), python if python.count(".") > 1 else f"{python}{LATER}"
    there = {
        "implementation_name": "cpython",
        "os_name": "posix",
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": release,
        "python_version": series,
        "sys_platform": "linux",
    }
    return {name: str(value) for name, value in default_environment().items()} | there


def lines(file: str) -> list[Requirement]:
    """Every pin of a file."""
    text = (REQUIREMENTS / file).read_text()
    return [Requirement(line.removesuffix(" \\")) for line in text.splitlines() if line[:1] not in {"", " ", "#"}]


def pins(file: str, environment: Mapping[str, str] | None = None) -> dict[NormalizedName, str]:
    """Version by package; with an environment only what is installed there."""
    found = {}
    for line in lines(file):
        if environment is None or line.marker is None or line.marker.evaluate(dict(environment)):
            (pin,) = line.specifier
            found[canonicalize_name(line.name)] = pin.version
    return found
