"""The style of CONTRIBUTING, as far as a program sees it: no new fault, and a list of old ones that only shrinks."""

from pathlib import Path

import pytest

from tests.support import sources
from tests.support.style import FRAGMENTS, Faults, advice, banned_in, faults, listed, sums, sums_before
from tests.support.unused_code import find_asserting, is_named

SHORTEN = "`.venv/bin/python -m tests.support.style` takes them off the list"


def beyond(some: Faults, others: Faults) -> list[str]:
    """What some have more of than others, a line for each place."""
    return [
        f"{place}: {rule}: {number}, in the list {others.get(rule, {}).get(place, 0)}: {advice(rule)}"
        for rule, places in some.items()
        for place, number in places.items()
        if number > others.get(rule, {}).get(place, 0)
    ]


def test_there_is_no_new_fault() -> None:
    exceptions, _ = listed()

    assert beyond(faults(), exceptions) == []


def test_no_exception_is_listed_that_is_not_needed() -> None:
    exceptions, _ = listed()

    assert beyond(exceptions, faults()) == [], SHORTEN


def test_the_sums_are_those_of_the_list() -> None:
    exceptions, stated = listed()

    assert sums(exceptions) == stated, SHORTEN


def test_the_list_is_no_longer_than_at_the_commits_before() -> None:
    _, stated = listed()

    for before in sums_before():
        assert {rule: (before[rule], now) for rule, now in stated.items() if now > before.get(rule, now)} == {}


@pytest.mark.parametrize(
    ("name", "banned"),
    [
        ("KeptPictures", {"kept", "pictures"}),
        ("MOST_BYTES", {"most_"}),
        ("almost", set()),
        ("album_of", {"album", "_of"}),
        ("found", {"=found"}),
        ("found_keys", set()),
        ("HTTPServer2", set()),
        ("_", set()),
    ],
)
def test_a_name_is_read_word_by_word(name: str, banned: set[str]) -> None:
    assert banned_in(name) == banned


@pytest.mark.parametrize(
    ("description", "whole"),
    [
        ("Timeout for connecting to the vendor or its proxy.", True),
        ("Maximum number of calls at a time.", True),
        ("Iteration of something.", True),
        ("To the vendor, or to the proxy on the way.", False),
        ("How long; 0: nothing is kept.", False),
    ],
)
def test_a_fragment_needs_its_key_to_be_understood(description: str, *, whole: bool) -> None:
    assert (FRAGMENTS.match(description) is None) == whole


SOURCE = '''"""What it does."""

import os as heard

def test_whoever_comes(told):
    """Nobody."""
    found = 1  # nobody knows

def test_by_a_helper():
    helper()

def helper():
    assert True
'''


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of a repository of its own."""
    monkeypatch.setattr(sources, "ROOT", tmp_path)
    file = tmp_path / "tests" / "test_x.py"
    file.parent.mkdir()
    file.write_text(SOURCE)
    return file


def test_what_is_said_and_named_in_a_file_is_found(file: Path) -> None:
    assert {*sources.names(file)} == {
        "test_x",
        "heard",
        "test_whoever_comes",
        "told",
        "found",
        "test_by_a_helper",
        "helper",
    }
    assert [*sources.docstrings(file)] == ["What it does.", "Nobody."]
    assert [*sources.prose(file)] == [
        "nobody knows",
        "What it does.",
        "Nobody.",
        "test whoever comes",
        "test by a helper",
    ]
    assert [each.name for each in sources.functions(file)] == ["test_whoever_comes", "test_by_a_helper", "helper"]


def test_a_test_asserts_by_itself_or_by_what_it_calls(file: Path) -> None:
    assert find_asserting([file]) == {"helper", "test_by_a_helper"}


def test_a_script_is_used_where_its_name_is_written() -> None:
    nothing = "nothing_" + "uses_it"

    assert is_named(sources.ROOT / "tests" / "support" / "focus_check.py")
    assert is_named(sources.ROOT / "service" / "adapters" / "redis" / "scripts" / "quotas" / "hold.lua")
    assert not is_named(sources.ROOT / "service" / f"{nothing}.py")
    assert not is_named(sources.ROOT / "service" / f"{nothing}.lua")
