"""`python -m tests.supply`: write docs/packages.md. Takes half a minute."""

from tests.supply.imports import measured
from tests.supply.packages import DOCUMENT, document, rows

if __name__ == "__main__":
    DOCUMENT.write_text(document(rows(measured())))
