"""Table of faults: each fault of a vendor has the outcome of its row, and so has the document."""

from pathlib import Path

from tools.faults.rig import seen
from tools.faults.rows import FAULTS_OF_VENDORS
from tools.faults.table import DOCUMENT, differences, expected_lines, without_figures


async def test_every_fault_has_the_outcome_of_its_row(tmp_path: Path) -> None:
    assert differences(await seen(tmp_path, FAULTS_OF_VENDORS)) == []


def test_the_document_says_what_the_rows_say() -> None:
    assert without_figures(DOCUMENT.read_text()) == expected_lines(), "run `make faults`"
