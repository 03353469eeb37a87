"""`python -m tools.faults`: run every fault, print the outcomes, and write them to docs/reliability.md.

Rule: if an outcome differs from its row, the run prints the differences and ends with exit code 1. It changes no
document.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tools.faults.rig import seen
from tools.faults.rows import FAULTS_OF_VENDORS
from tools.faults.table import DOCUMENT, differences, document, rewritten


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.faults", description=__doc__)
    parser.add_argument("--only", nargs="*", metavar="NAME", help="these rows only; the document is left alone")
    options = parser.parse_args()
    faults = [fault for fault in FAULTS_OF_VENDORS if not options.only or fault.name in options.only]
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        observations = asyncio.run(seen(Path(folder), faults))
    tables = document(observations)
    print(tables)
    wrong = differences(observations)
    print("\n".join(wrong))
    if not wrong and not options.only:
        DOCUMENT.write_text(rewritten(DOCUMENT.read_text(), tables))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
