"""`python -m tools.supply`: write docs/packages.md. Takes half a minute."""

from tools.supply.imports import measured
from tools.supply.packages import DOCUMENT, document, rows

if __name__ == "__main__":
    DOCUMENT.write_text(document(rows(measured())))
