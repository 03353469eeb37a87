"""`python -m tools.supply.audit`: what is known against the packages of every requirements file.

Rule: pip-audit asks its service about every pin, file by file, and a pin that the service says nothing about is an
error, not a pass. Files that ship or build decide the exit code: 0 where nothing is known, 1 where something is, 2
where nobody could be asked; they stand first, and end it there. What is known against tools is printed apart, because
it does not reach who runs the product.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.supply.environments import AUDIT, program
from tools.supply.locks import REQUIREMENTS, SHIPPED

CLEAN, FOUND, NOT_ASKED = 0, 1, 2
OPTIONS = ("--strict", "--progress-spinner", "off", "--require-hashes", "--disable-pip", "--desc", "off")
OUTAGE = "Could not be run: the service of vulnerabilities does not answer here, or does not know every package."


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came of one file. `known` is the ids by package; None where the service could not be asked."""

    file: str
    packages: int = 0
    known: Mapping[str, Sequence[str]] | None = None
    error: str = ""

    def __str__(self) -> str:
        if self.known is None:
            return f"{self.file}: {OUTAGE}\n  {self.error}"
        if not self.known:
            return f"{self.file}: {self.packages} packages, nothing is known against them"
        told = (f"\n  {package}: {', '.join(ids)}" for package, ids in self.known.items())
        return f"{self.file}: {self.packages} packages, {len(self.known)} with known vulnerabilities:{''.join(told)}"


def audited(file: str, options: Sequence[str] = ()) -> Verdict:
    """Ask about every pin of a file that holds on this machine. Options are pip-audit's."""
    with tempfile.TemporaryDirectory(prefix="audit-") as name:
        answer = Path(name) / "answer.json"
        command = [program(AUDIT, "pip-audit"), *OPTIONS, *options, "--format", "json", "--output", answer]
        done = subprocess.run(
            [*map(str, command), "--requirement", str(REQUIREMENTS / file)], capture_output=True, text=True, check=False
        )
        if not answer.exists():
            said = done.stderr.strip().splitlines()
            return Verdict(file=file, error=said[-1] if said else f"pip-audit ended with {done.returncode}")
        asked = json.loads(answer.read_text())["dependencies"]
    known = {
        f"{one['name']} {one['version']}": [each["id"] for each in one["vulns"]] for one in asked if one.get("vulns")
    }
    return Verdict(file=file, packages=len(asked), known=known)


def files() -> tuple[list[str], list[str]]:
    """The files that ship or build, and those of tools."""
    every = sorted(path.name for path in REQUIREMENTS.glob("*.txt"))
    return [*SHIPPED], [file for file in every if file not in SHIPPED]


def main() -> int:
    """Ask about every file, and say what came of it."""
    shipped, tools = files()
    worst = CLEAN
    for file in shipped:
        verdict = audited(file, sys.argv[1:])
        print(verdict, flush=True)
        if verdict.known is None:
            return NOT_ASKED
        worst = max(worst, FOUND if verdict.known else CLEAN)
    print("\nFor tests and tools, not shipped:")
    for file in tools:
        print(audited(file, sys.argv[1:]), flush=True)
    return worst


if __name__ == "__main__":
    sys.exit(main())
