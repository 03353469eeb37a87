"""The reader in C: what it accepts is what the strict reader reads, and everything else is left to that one."""

import hashlib
import warnings
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st

from service.settings.fast_yaml import NOT_PLAIN, read_plain
from service.settings.yaml_file import SettingsError, read_strict
from tests.support.profiles import examples

CONFIG = Path(__file__).parents[2] / "config"
FILE = Path("shop.yaml")

SIGNS = (
    "- ",
    ": ",
    ":",
    ",",
    "[",
    "]",
    "{",
    "}",
    "#",
    " #",
    "'",
    '"',
    "\n",
    "\n  ",
    "\n    ",
    " ",
    "? ",
    "-",
    "|",
    ">",
)
RARE = ("---", "...", "%", "@", "`", "!", "!!str ", "&x ", "*x", " *x\n", "<<: *x\n", "k: &x {a: 1}\n", "\u2028", "\t")
WORDS = (
    "a",
    "key",
    "é",
    "~",
    "null",
    "true",
    "no",
    "0",
    "-1",
    "1.5",
    "1e3",
    "0x1",
    "0o7",
    "012",
    "1_0",
    ".5",
    "=",
    "<<",
)
WHOLE = (
    "a: 1\n",
    "b: 2\n",
    "a:\n",
    "- x\n",
    "[a, b]",
    "{a: 1, b: 2}",
    "'q'",
    '"q"',
    "2026-01-01",
    "2026-02-30",
    "12:30",
)
TEXTS = st.lists(st.sampled_from(SIGNS + RARE + WORDS + WHOLE), max_size=14).map("".join)


def typed(value: object) -> object:
    """With types and order, so that 1, 1.0 and true differ."""
    if isinstance(value, dict):
        return [(typed(name), typed(inner)) for name, inner in value.items()]
    return [typed(inner) for inner in value] if isinstance(value, list) else (type(value), value)


def strictly(text: str) -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return read_strict(FILE, text)


def team(number: int) -> str:
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    limits = f"{{ usd_per_day: {number}.5, requests_per_minute: 600 }}"
    return f"  team-{number}:\n    limits: {limits}\n    keys:\n      - id: key-{number}\n        sha256: {digest}\n"


def test_the_parser_in_c_is_installed() -> None:
    assert yaml.__with_libyaml__


@pytest.mark.parametrize("name", ["gateway.yaml", "models.yaml", "teams.yaml"])
def test_the_shipped_files_need_no_strict_reader(name: str) -> None:
    text = (CONFIG / name).read_text("utf-8")
    assert typed(read_plain(text)) == typed(strictly(text))


def test_many_teams_with_keys_need_no_strict_reader() -> None:
    text = "# ours\n---\nteams:\n" + "".join(map(team, range(200)))
    assert typed(read_plain(text)) == typed(strictly(text))


@settings(max_examples=examples(400))
@given(TEXTS)
def test_what_it_accepts_is_what_the_strict_reader_reads(text: str) -> None:
    value = read_plain(text)
    if value is not NOT_PLAIN:
        assert typed(value) == typed(strictly(text))


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\na: 2\n",
        "a: &x [*x]\n",
        "a: &x 1\nb: &x 2\n",
        "a: *b\n",
        "a: &x:1 2\n",
        "k: &x {a: 1}\n!!str <<: *x\n",
        "a: !!int 1\n",
        "{[a]: 1}\n",
        "%YAML 1.1\n---\na: yes\n",
        "a: 1\n---\nb: 2\n",
        "a: 0x1F\n",
        "a: .inf\n",
        "a: 2026-02-30\n",
        "a: one\n  two\n",
        "a: |\n  text\n",
        'a: "\\x41"\n',
        "a:\t1\n",
        "a: b\u2028c\n",
        "[" * 60 + "]" * 60,
        "",
    ],
)
def test_what_is_wrong_or_rare_is_left_to_the_strict_reader(text: str) -> None:
    assert read_plain(text) is NOT_PLAIN


def test_only_the_strict_reader_refuses() -> None:
    with pytest.raises(SettingsError, match=r"shop.yaml: line 2, column 1: found duplicate key"):
        read_strict(FILE, "a: 1\na: 2\n")
