"""Rules of CONTRIBUTING that a program can check: each fault with its rule and its place.

`python -m tests.support.style` removes mended faults from the list of exceptions. It adds none.

Rule: the list has exactly today's faults. A new fault fails, and so does an entry without a fault. The sum of each rule
stands beside it and only falls. `sums_before` has the sums of the commit before, if the clone has it.
"""

import json
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import cache

from service.settings.docs_and_schema import FILES, build_schema, setting_rows
from tests.support import sources
from tests.support.sources import ROOT, place
from tests.support.unused_code import find_tests_without_assertion, find_unused

LINES_OF_A_FUNCTION, LINES_OF_A_FILE = 60, 400
EXCEPTIONS = ROOT / "tests" / "unit" / "style_exceptions.json"
WORDS: Mapping[str, Mapping[str, str]] = tomllib.loads(
    (ROOT / "tests" / "unit" / "style_words.toml").read_text("utf-8")
)
FRAGMENTS = re.compile(
    r"(?:After|As|At|Before|Between|By|For|From|How|If|In|Is|It|Its|Of|On|Or|Since|Some|Then|To|What|When|Where|Who"
    r"|Whoever|With|Without)\b"
)
FEWEST_WORDS = 3
PUBLIC_NAMES = frozenset({"multiple_of"})
"""Names of the API and of JSON Schema, which a caller reads: they keep their words."""

Faults = Mapping[str, Mapping[str, int]]
"""Number of faults by rule and place. For a long file or function, the number of lines above the limit."""


def find_too_long() -> Iterator[tuple[str, str, int]]:
    """Yield functions and files that are longer than CONTRIBUTING allows, with the lines beyond that."""
    for file in sources.python_files():
        yield "lines of a file", place(file), sources.text(file).count("\n") - LINES_OF_A_FILE
        for function in sources.functions(file):
            length = (function.end_lineno or function.lineno) - function.lineno + 1
            yield "lines of a function", f"{place(file)} {function.name}", length - LINES_OF_A_FUNCTION


def find_banned_prose() -> Iterator[tuple[str, str, int]]:
    """Yield banned words of prose."""
    banned = {word: re.compile(rf"\b{word}\b", re.IGNORECASE) for word in WORDS["prose"]}
    texts = [(file, "\n".join(sources.prose(file))) for file in sources.python_files()]
    for file, text in (*texts, *sources.pages()):
        plain = sources.CODE.sub(" ", text)
        for word, pattern in banned.items():
            yield f"prose: {word}", place(file), len(pattern.findall(plain))


def find_banned_openers() -> Iterator[tuple[str, str, int]]:
    """Yield docstrings that do not begin with their subject."""
    banned = re.compile(rf"({'|'.join(WORDS['openers'])})\b")
    for file in sources.python_files():
        matches = [banned.match(docstring) for docstring in sources.docstrings(file)]
        for opener, number in Counter(docstring[1] for docstring in matches if docstring).items():
            yield f"opener: {opener}", place(file), number


def find_banned_names() -> Iterator[tuple[str, str, int]]:
    """Yield banned words in names. A name counts once in a file."""
    for file in sources.python_files():
        defined = {name for name in sources.names(file) if not name.startswith("test_")}
        for word, number in Counter(word for name in defined for word in banned_in(name)).items():
            yield f"name: {word}", place(file), number


@cache
def banned_in(name: str) -> frozenset[str]:
    """Return the entries of `names` that a name contains."""
    parts = sources.words(name)
    if not parts or name in PUBLIC_NAMES:
        return frozenset()
    more = {f"{parts[0]}_", f"_{parts[-1]}"} if len(parts) > 1 else {f"={name}"}
    return frozenset({*parts, *more} & WORDS["names"].keys())


def find_unplain_settings() -> Iterator[tuple[str, str, int]]:
    """Yield settings whose description is not a noun phrase, such as `Timeout for ...` or `Maximum ...`."""
    for name, kind in FILES.items():
        for row in setting_rows(build_schema(kind, name)):
            fragment = FRAGMENTS.match(row.description) or len(row.description.split()) < FEWEST_WORDS
            yield "description of a setting", f"{name}.yaml {row.path}", bool(fragment)


RULES: tuple[Callable[[], Iterator[tuple[str, str, int]]], ...] = (
    find_too_long,
    find_banned_prose,
    find_banned_openers,
    find_banned_names,
    find_unplain_settings,
    find_unused,
    find_tests_without_assertion,
)


@cache
def faults() -> Faults:
    """Return every fault."""
    result: dict[str, dict[str, int]] = {}
    for rule in RULES:
        for name, where, number in rule():
            if number > 0:
                at = result.setdefault(name, {})
                at[where] = at.get(where, 0) + number
    sources.nodes.cache_clear()  # frees half a million objects, which every garbage collection would visit
    return result


def sums(of: Faults) -> dict[str, int]:
    """Return the sum of each rule."""
    return {name: sum(of[name].values()) for name in sorted(of)}


def advice(rule: str) -> str:
    """Return advice on a fault."""
    kind, _, word = rule.partition(": ")
    tables = {"prose": "prose", "opener": "openers", "name": "names"}
    return f"write {WORDS[tables[kind]][word]}" if kind in tables else "see CONTRIBUTING.md"


def listed() -> tuple[Faults, Mapping[str, int]]:
    """Return the list of exceptions, and its sums."""
    document = json.loads(EXCEPTIONS.read_text("utf-8"))
    return document["faults"], document["sums"]


def sums_before() -> Iterator[Mapping[str, int]]:
    """Yield the sums of the last commit and of the one before, as far as the clone has them."""
    path = place(EXCEPTIONS)
    for commit in ("HEAD", "HEAD~"):
        done = subprocess.run(
            ["git", "show", f"{commit}:{path}"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            yield json.loads(done.stdout)["sums"]


def written(of: Faults) -> str:
    """Return the text of the list, a line for each place."""
    ordered = {name: dict(sorted(of[name].items())) for name in sorted(of)}
    return json.dumps({"sums": sums(of), "faults": ordered}, indent=1, ensure_ascii=False) + "\n"


def main() -> str | None:
    """Write the list again if no rule has more faults than before. Otherwise returns the rules with more."""
    before = listed()[1] if EXCEPTIONS.exists() else {}
    grown = [f"{name}: {number}" for name, number in sums(faults()).items() if number > before.get(name, number)]
    if grown:
        return "More than there were: " + ", ".join(grown)
    EXCEPTIONS.write_text(written(faults()), "utf-8")
    return None


if __name__ == "__main__":
    sys.exit(main())
