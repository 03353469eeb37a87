"""SECURITY.md names tests that are there and limits that are so."""

import ast
import re
from pathlib import Path

import pytest

from service.settings.gateway_file import ImagesSection, ReferenceImagesSection, RequestsSection

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "SECURITY.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)))
LIMITS = re.findall(r"^\| `(\w+)\.(\w+)` \| ([\w.]+) \|", TEXT, re.MULTILINE)
SECTIONS = {"requests": RequestsSection(), "reference_images": ReferenceImagesSection(), "images": ImagesSection()}


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_every_test_that_is_named_is_there(file: str, test: str) -> None:
    found = ast.walk(ast.parse((ROOT / file).read_text()))
    assert test in {node.name for node in found if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_row_names_one() -> None:
    rows = [line for line in TEXT.splitlines() if line.startswith("|") and line.count("|") == 5]
    assert len(rows) > 20
    assert all("::test_" in row for row in rows[2:])


@pytest.mark.parametrize(("section", "name", "default"), LIMITS)
def test_every_limit_is_the_default(section: str, name: str, default: str) -> None:
    value = getattr(SECTIONS[section], name)
    assert (value == ()) if default == "none" else (float(default) == value)


def test_all_bounds_on_requests_are_told() -> None:
    assert {name for section, name, _ in LIMITS if section == "requests"} == set(RequestsSection.__struct_fields__)


@pytest.mark.parametrize("link", re.findall(r"\]\(([\w/.-]+)(?:#[\w-]+)?\)", TEXT))
def test_every_link_leads_somewhere(link: str) -> None:
    assert (ROOT / link).exists()
