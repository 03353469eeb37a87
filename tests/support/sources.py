"""Sources as values, for tests of the code: trees of Python, names, docstrings, comments, pages.

Rule: generated pages (`make generate`) are left out, because their words are those of the code.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("service", "tests", "tools", "requirements")
WITH_COMMENTS = ("config/*.yaml", "config/*/*.yaml", "helm/*/values.yaml", "compose.yaml", "Makefile", "Dockerfile")
GENERATED = {"configuration", "metrics", "conformance", "packages", "dashboards"}
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
COMMENT = re.compile(r"(?:^ *|  |\t)(?:#|--) (.+)$", re.MULTILINE)
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def python_files() -> tuple[Path, ...]:
    """Return every Python file of this repository."""
    return tuple(sorted(file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py")))


def place(file: Path) -> str:
    """Return the path of a file as the lists have it."""
    return file.relative_to(ROOT).as_posix()


@cache
def text(file: Path) -> str:
    """Return the text of a file."""
    return file.read_text("utf-8")


@cache
def nodes(file: Path) -> tuple[ast.AST, ...]:
    """Return every node of a Python file."""
    return tuple(ast.walk(ast.parse(text(file))))


def functions(file: Path) -> Iterator[Function]:
    """Yield every function of a Python file."""
    yield from (node for node in nodes(file) if isinstance(node, Function))


def names(file: Path) -> Iterator[str]:
    """Yield every name that a Python file defines: its stem, classes, functions, parameters, variables."""
    yield file.stem
    for node in nodes(file):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.arg(arg=name) | ast.alias(asname=str(name)):
                yield name
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name


def words(name: str) -> list[str]:
    """Split a name into its words, in lower case."""
    return [word.lower() for word in WORD.findall(name)]


def docstrings(file: Path) -> Iterator[str]:
    """Yield the docstrings of a Python file, also those below a field or a value."""
    for node in nodes(file):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value


def messages(file: Path) -> Iterator[str]:
    """Yield the texts of more than one word in a Python file, docstrings included."""
    for node in nodes(file):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.value


def comments(file: Path) -> Iterator[str]:
    """Yield the comments of a Python file, as the formatter sets them."""
    yield from COMMENT.findall(text(file))


def prose(file: Path) -> Iterator[str]:
    """Yield the prose of a Python file. The names of its tests belong to it."""
    yield from comments(file)
    if file.is_relative_to(ROOT / "service"):
        yield from messages(file)
        return
    yield from docstrings(file)
    yield from (" ".join(words(function.name)) for function in functions(file) if function.name.startswith("test_"))


def pages() -> Iterator[tuple[Path, str]]:
    """Yield every page that is written by hand, and every file with comments, with its prose."""
    for page in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")):
        if page.stem not in GENERATED:
            yield page, CODE.sub(" ", text(page))
    scripts = (ROOT / "service").rglob("*.lua")
    for file in (*scripts, *(file for pattern in WITH_COMMENTS for file in ROOT.glob(pattern))):
        yield file, "\n".join(COMMENT.findall(text(file)))
