"""Install every lock with the oldest pip that README allows, while a newer release of each package exists.

Rule: the packages are made up, their dependencies are not. For each pin there is an empty wheel with the real metadata,
and one of a far later version. pip gets the lock with the hashes of these wheels and nothing else. A lock that leaves
out an extra makes such a pip take the later version. It has no hash, so the lock fails here.
Fails with: one line for each lock that cannot be installed, and pip's last line.
"""

import base64
import hashlib
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Mapping
from email.message import Message
from pathlib import Path
from tempfile import TemporaryDirectory

from packaging.utils import canonicalize_name

from tools.supply.environments import AUDIT, program
from tools.supply.locks import REQUIREMENTS, lines

OLD_PIP = ".venv-old-pip"
LATER = "99999"
UNRESOLVED = frozenset({"focus.txt"})
"""Locks whose packages contradict each other. No pip has ever resolved them, and no other command tries to."""

Metadata = Mapping[str, object]


def metadata(pip: list[str], file: str, folder: Path) -> list[Metadata]:
    """Ask the index for the metadata of every pin that holds on this machine. Nothing is installed."""
    listed, report = folder / "pins.txt", folder / "report.json"
    listed.write_text("".join(f"{line}\n" for line in lines(file)))
    options = [
        "--quiet",
        "--disable-pip-version-check",
        "--dry-run",
        "--ignore-installed",
        "--no-deps",
        "--report",
        str(report),
    ]
    subprocess.run([*pip, "install", *options, "-r", str(listed)], check=True)
    return [install["metadata"] for install in json.loads(report.read_text())["install"]]


def wheel(folder: Path, name: str, version: str, pinned: Metadata) -> str:
    """Write an empty wheel. Returns the SHA-256 of its file."""
    stem = f"{re.sub(r'[-_.]+', '_', name)}-{version}"
    text = Message()
    for field, value in {"Metadata-Version": "2.1", "Name": name, "Version": version}.items():
        text[field] = value
    for field, member in (("Requires-Dist", "requires_dist"), ("Provides-Extra", "provides_extra")):
        for value in pinned.get(member) or ():  # type: ignore[attr-defined]
            text[field] = value
    tags = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files = {f"{stem}.dist-info/METADATA": text.as_string(), f"{stem}.dist-info/WHEEL": tags}
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inside, content in files.items():
            archive.writestr(inside, content)
        records = [f"{inside},sha256={digest(content.encode())},{len(content)}" for inside, content in files.items()]
        archive.writestr(f"{stem}.dist-info/RECORD", "\n".join([*records, f"{stem}.dist-info/RECORD,,"]))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def digest(content: bytes) -> str:
    """Return a digest in the form of a wheel's RECORD."""
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def install(pip: list[str], file: str, packages: Iterable[Metadata], folder: Path) -> str | None:
    """Install a lock from made-up wheels. Returns pip's last line if it refuses."""
    hashes = {}
    for pinned in packages:
        name, version = str(pinned["name"]), str(pinned["version"])
        hashes[canonicalize_name(name)] = wheel(folder, name, version, pinned)
        wheel(folder, name, LATER, pinned)
    pins = [line for line in lines(file) if canonicalize_name(line.name) in hashes]
    lock = folder / "lock.txt"
    lock.write_text("".join(f"{pin} --hash=sha256:{hashes[canonicalize_name(pin.name)]}\n" for pin in pins))
    options = [
        "--quiet",
        "--disable-pip-version-check",
        "--no-index",
        "--find-links",
        str(folder),
        "--require-hashes",
        "-r",
        str(lock),
    ]
    command = [*pip, "install", *options, "--target", str(folder / "to")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stderr.strip().splitlines() or ["(no word)"])[-1] if done.returncode else None


def main(files: list[str]) -> int:
    """Try the locks named, or all. Returns the exit code."""
    old, new = ([str(program(place, "python")), "-m", "pip"] for place in (OLD_PIP, AUDIT))
    refused = 0
    for file in files or sorted({path.name for path in REQUIREMENTS.glob("*.txt")} - UNRESOLVED):
        with TemporaryDirectory() as made:
            refusal = install(old, file, metadata(new, file, Path(made)), Path(made))
        print(f"{file}: {refusal or 'installs'}", flush=True)
        refused += refusal is not None
    return min(refused, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
