"""Unused modules and scripts, and tests without an assertion.

Rule: a module of `service` is used if a module of `service` imports it. Any other module is used if any module imports
it. A script is used if its name stands in another file. A test asserts if it, or a function of the tests that it calls,
has an assertion.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.support import sources
from tests.support.sources import ROOT, place

SCRIPTS = ("*.lua", "*.sh", "*.mjs", "*.java", "*.html")
CALLERS = ("Makefile", "*.toml", "Dockerfile", ".ci/run", "requirements/lock.sh", "docs/*.md", "*.md")
NESTED = ("Dockerfile", "*.toml")
LOADED = re.compile(r"__init__|__main__|conftest|test_.*|check_.*|v\d{4}_.*|env")
"""Stems of files that Python, pytest, make and Alembic find by themselves."""

ASSERTING = {"raises", "warns", "fail"}


def _imports(file: Path) -> Iterator[str]:
    for node in sources.nodes(file):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def _texts() -> dict[Path, str]:
    """Return every file that may name a script."""
    standing = [file for pattern in CALLERS for file in ROOT.glob(pattern)]
    nested = [file for folder in sources.FOLDERS for pattern in NESTED for file in (ROOT / folder).rglob(pattern)]
    return {file: sources.text(file) for file in (*sources.python_files(), *standing, *nested)}


def is_named(file: Path) -> bool:
    """Return whether another file names this one: by path, by module, or a Lua script by its stem."""
    path = re.compile(rf"(?:(?<![\w/])|\b{re.escape(file.parent.name)}/){re.escape(file.name)}\b")
    others = (_dotted(file), *((f'"{file.stem}"',) if file.suffix == ".lua" else ()))
    return any(
        (file.name in text and path.search(text)) or any(name in text for name in others)
        for other, text in _texts().items()
        if other != file
    )


def _dotted(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts)


def find_unused() -> Iterator[tuple[str, str, int]]:
    """Yield unused modules and scripts."""
    files = sources.python_files()
    imported = {name for file in files for name in _imports(file)}
    of_service = {name for file in files if place(file).startswith("service/") for name in _imports(file)}
    for file in files:
        known = of_service if place(file).startswith("service/") else imported
        if not LOADED.fullmatch(file.stem) and _dotted(file) not in known:
            yield "used by nothing", place(file), not is_named(file)
    for pattern in SCRIPTS:
        for folder in sources.FOLDERS:
            for script in (ROOT / folder).rglob(pattern):
                yield "used by nothing", place(script), not is_named(script)


def find_tests_without_assertion() -> Iterator[tuple[str, str, int]]:
    """Yield files with tests that can fail by an exception only. Their helpers may lie in `tools`."""
    files = [file for file in sources.python_files() if place(file).startswith(("tests/", "tools/"))]
    fine = find_asserting(files)
    for file in files:
        bare = [function.name for function in sources.functions(file) if function.name.startswith("test_")]
        yield "test without an assertion", place(file), sum(name not in fine for name in bare)


def find_asserting(files: list[Path]) -> set[str]:
    """Return names of functions that assert, directly or by a call."""
    calls: dict[str, set[str]] = {}
    asserting: set[str] = set()
    for function in (function for file in files for function in sources.functions(file)):
        inside = [*ast.walk(function)]
        called = {_name(node.func) for node in inside if isinstance(node, ast.Call)}
        calls.setdefault(function.name, set()).update(called)
        if called & ASSERTING or any(isinstance(node, ast.Assert) for node in inside):
            asserting.add(function.name)
    while more := {name for name, called in calls.items() if name not in asserting and called & asserting}:
        asserting |= more
    return asserting


def _name(called: ast.expr) -> str:
    match called:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""
