"""`make help` is one screen, and names every target."""

import re
from pathlib import Path

MAKEFILE = (Path(__file__).parents[2] / "Makefile").read_text("utf-8")
SHOWN = re.findall(r"^(?:##@ (.+)|([a-z-]+):.*## (.+))$", MAKEFILE, re.MULTILINE)
LINES, COLUMNS, INDENT = 40, 120, 21


def test_help_is_one_screen() -> None:
    assert len(SHOWN) <= LINES
    assert [text for _, _, text in SHOWN if INDENT + len(text) > COLUMNS] == []


def test_every_target_is_in_it_and_is_one() -> None:
    (phony,) = re.findall(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)
    (written,) = re.findall(r"^generate: (.+?) ##", MAKEFILE, re.MULTILINE)
    named = [target for _, target, _ in SHOWN if target]

    assert sorted(phony.split()) == sorted([*named, *written.split()])
    assert written in " ".join(heading for heading, _, _ in SHOWN).replace("  ", "")
