"""Reader of requirements/*.txt, as uv writes them.

Rule: a line that begins with neither a blank nor a # is one pinned package, with its hashes below it. Any other line is
an error of `packaging`. Markers decide which pins hold on a platform.
"""

from collections.abc import Mapping
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ROOT / "requirements"
SHIPPED = ("image.txt", "run.txt", "build.txt")
"""Files that the product runs with or is built with. All others are for tests and tools."""
LATER = ".4"
"""Any release of a series that is not one of the first, for which redis requires more packages."""


def linux(python: str) -> dict[str, str]:
    """Return the environment of CPython `python`, such as `3.13` or `3.11.2`, on Linux x86-64, for markers."""
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
    """Return every pin of a file."""
    text = (REQUIREMENTS / file).read_text()
    return [Requirement(line.removesuffix(" \\")) for line in text.splitlines() if line[:1] not in {"", " ", "#"}]


def pins(file: str, environment: Mapping[str, str] | None = None) -> dict[NormalizedName, str]:
    """Return versions by package; with an environment only those that are installed there."""
    versions = {}
    for line in lines(file):
        if environment is None or line.marker is None or line.marker.evaluate(dict(environment)):
            (pin,) = line.specifier
            versions[canonicalize_name(line.name)] = pin.version
    return versions
