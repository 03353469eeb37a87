"""`python -m tools.supply.audit`: known vulnerabilities of the packages in every requirements file.

Rule: pip-audit queries its service about every pin, file by file. A pin that the service does not know is an error, not
a pass. Files that ship or build come first and decide the exit code: 0 without a vulnerability, 1 with one, 2 if the
service did not answer, which ends the run. Files of tools follow: their vulnerabilities do not reach users of the
product.
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
    """Result for one file. `known` has the ids by package; `None` if the service did not answer."""

    file: str
    packages: int = 0
    known: Mapping[str, Sequence[str]] | None = None
    error: str = ""

    def __str__(self) -> str:
        if self.known is None:
            return f"{self.file}: {OUTAGE}\n  {self.error}"
        if not self.known:
            return f"{self.file}: {self.packages} packages, nothing is known against them"
        listed = (f"\n  {package}: {', '.join(ids)}" for package, ids in self.known.items())
        return f"{self.file}: {self.packages} packages, {len(self.known)} with known vulnerabilities:{''.join(listed)}"


def audited(file: str, options: Sequence[str] = ()) -> Verdict:
    """Query every pin of a file that holds on this machine. `options` are pip-audit's."""
    with tempfile.TemporaryDirectory(prefix="audit-") as name:
        answer = Path(name) / "answer.json"
        command = [program(AUDIT, "pip-audit"), *OPTIONS, *options, "--format", "json", "--output", answer]
        done = subprocess.run(
            [*map(str, command), "--requirement", str(REQUIREMENTS / file)], capture_output=True, text=True, check=False
        )
        if not answer.exists():
            lines = done.stderr.strip().splitlines()
            return Verdict(file=file, error=lines[-1] if lines else f"pip-audit ended with {done.returncode}")
        asked = json.loads(answer.read_text())["dependencies"]
    known = {
        f"{one['name']} {one['version']}": [vuln["id"] for vuln in one["vulns"]] for one in asked if one.get("vulns")
    }
    return Verdict(file=file, packages=len(asked), known=known)


def files() -> tuple[list[str], list[str]]:
    """Return the files that ship or build, and those of tools."""
    every = sorted(path.name for path in REQUIREMENTS.glob("*.txt"))
    return [*SHIPPED], [file for file in every if file not in SHIPPED]


def main() -> int:
    """Audit every file and print the results."""
    shipped, tools = files()
    worst = CLEAN
    for file in shipped:
        outcome = audited(file, sys.argv[1:])
        print(outcome, flush=True)
        if outcome.known is None:
            return NOT_ASKED
        worst = max(worst, FOUND if outcome.known else CLEAN)
    print("\nFor tests and tools, not shipped:")
    for file in tools:
        print(audited(file, sys.argv[1:]), flush=True)
    return worst


if __name__ == "__main__":
    sys.exit(main())
