"""Deliberate faults: each changes what code means, a seed decides which, and the checkout stays as it is."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tools.deliberate_faults import ROOT, catches, copied, failures
from tools.mutations import PACKAGES, Fault, belongs_to, choose, faults_in, means_something_else

PYTHON = sys.executable


def faults(source: str) -> list[tuple[str, str]]:
    """The kind of each fault of the first function, and the file with the fault in it."""
    tree = ast.parse(source)
    function = tree.body[0]
    assert isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
    content = source.encode()
    return [
        (fault.kind, fault.applied(content).decode())
        for fault in faults_in(function, "a.py", content)
        if means_something_else(fault, content)
    ]


@pytest.mark.parametrize(
    ("before", "kind", "after"),
    [
        ("return a < b", "comparison turned round", "return a >= b"),
        ("return a in b", "comparison turned round", "return a not in b"),
        ("return a and b and c", "and, or", "return a or b or c"),
        ("return not a", "not dropped", "return a"),
        ("return [a for a in b if a()] if b else c", "not added", "return [a for a in b if a()] if not b else c"),
        ("return True", "other truth", "return False"),
        ("return a[0]", "number + 1", "return a[1]"),
        ("return 'ä', a - 1", "plus, minus", "return 'ä', a + 1"),
        ("return a(b, c=1)", "argument dropped", "return a(b)"),
        ("a()\n    return b", "statement dropped", "\n    return b"),
    ],
)
def test_each_kind_changes_one_place(before: str, kind: str, after: str) -> None:
    source = f"def f(a, b, c):\n    {before}\n"

    assert (kind, f"def f(a, b, c):\n    {after}\n") in faults(source)


def test_a_value_becomes_none_where_the_types_allow_it() -> None:
    assert faults("def f(a) -> int | None:\n    return a\n") == [
        ("return of None", "def f(a) -> int | None:\n    return None\n")
    ]
    assert faults("def f(a) -> int:\n    return a\n") == []


@pytest.mark.parametrize(
    "body",
    [
        "self._log.warning('a', count=1)",
        "a: Literal[1] = b",
        "return f'{a + 1}'",
        "def g():\n        return 1",
        "'''One. 1.'''",
        "a()",
    ],
    ids=["log", "annotation", "f-string", "inner function", "docstring", "body of one statement"],
)
def test_what_no_test_need_see_is_left_out(body: str) -> None:
    assert faults(f"def f(self, a, b):\n    {body}\n") == []


@pytest.mark.parametrize("package", PACKAGES, ids=lambda name: name or "service")
def test_each_package_has_a_fault_and_the_seed_decides_which(package: str) -> None:
    fault = choose(ROOT, package, "0")

    assert fault == choose(ROOT, package, "0")
    assert any(fault != choose(ROOT, package, str(seed)) for seed in range(1, 9))
    assert belongs_to(ROOT / fault.file, ROOT / "service") == package
    assert means_something_else(fault, (ROOT / fault.file).read_bytes())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout with a file that is not committed, and one that git ignores."""
    for name, text in {
        "service/domain/one.py": "def one(a: int) -> int:\n    return a + 1\n",
        ".gitignore": "ignored/\n",
        "ignored/a": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, without those of git."""
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and not {".git", "__pycache__", ".pytest_cache", ".ruff_cache"} & {*file.parts}
    }


FAULT = Fault(
    file="service/domain/one.py", function="one", kind="plus, minus", line=2, start=35, end=40, text="a - 1"
)  # fmt: skip
CODE = "import runpy; one = runpy.run_path('service/domain/one.py')['one']; assert one(1) == 2"
TEST = "tests/test_one.py::test_one"
OTHER = "tests/test_two.py::test_two"
OTHER_ONE = f"print('ERROR {OTHER} - no'); raise SystemExit(1)"
FAILED = f"print('FAILED {TEST} - no\\nERROR {OTHER} - no'); raise SystemExit(1)"


def test_a_fault_is_made_in_a_copy_and_is_gone_afterwards(root: Path) -> None:
    before = contents(root)
    with copied(root) as folder:
        copy = contents(folder)
        caught = catches(folder, FAULT, {"fine": (PYTHON, "-c", ""), "unit": (PYTHON, "-c", CODE)})

        assert contents(folder) == copy
    assert FAULT.shown(before[FAULT.file]) == "`return a + 1` → `return a - 1`"
    assert caught == {"unit": "AssertionError"}
    assert copy == {name: text for name, text in before.items() if name != "ignored/a"}
    assert contents(root) == before
    assert not folder.exists()


def with_fault(code: str) -> tuple[str, str, str]:
    """Return a command that runs code only where the fault is made."""
    return PYTHON, "-c", f"if 'a - 1' in open('service/domain/one.py').read():\n    {code}"


def test_a_test_has_caught_a_fault_if_it_fails_twice_with_it_and_passes_without(root: Path) -> None:
    with copied(root) as folder:
        unit = {"unit": (PYTHON, "-c", FAILED)}

        assert catches(folder, FAULT, unit, again=lambda _: with_fault(FAILED)) == {"unit": TEST}
        assert catches(folder, FAULT, unit, again=lambda _: with_fault(OTHER_ONE)) == {"unit": OTHER}
        assert catches(folder, FAULT, unit, again=lambda _: (PYTHON, "-c", FAILED)) == {}
        assert catches(folder, FAULT, unit, again=lambda _: (PYTHON, "-c", "")) == {}


def test_a_command_that_says_nothing_fails_and_one_that_does_not_end_is_ended(tmp_path: Path) -> None:
    assert failures(tmp_path, ("false",), 60) == ["it fails"]
    assert failures(tmp_path, ("sh", "-c", "sleep 600 & wait"), 0.1) == ["it does not end in 0 s"]
