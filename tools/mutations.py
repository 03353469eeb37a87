"""Faults that a program can make: a change of one expression or statement of a function, and its choice by a seed.

Rule: a fault leaves a file that Python can read and that means something else. What only logs or traces, annotations,
and how a value shows itself are left out, because no test need see them.
"""

import ast
import copy
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PACKAGES = (
    "domain",
    "usecases",
    "adapters",
    "adapters/backends",
    "adapters/redis",
    "adapters/sql",
    "adapters/metrics",
    "api",
    "settings",
    "commands",
    "",
)
"""Folders of `service`. A file belongs to the longest that contains it; the last one has the files beside them."""

TURNED: Mapping[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.Gt: ast.LtE,
    ast.LtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
SKIPPED_FIELDS = {"annotation", "returns", "decorator_list"}
SKIPPED_NODES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.JoinedStr)
"""An inner function is a place of its own. Python 3.11 does not say where the parts of an f-string are."""
PLAIN = (ast.Name, ast.Attribute, ast.Call, ast.Await)
"""Conditions that have no operator of their own."""

OBSERVING = re.compile(r"(?:.*\.)?_?(?:log|logger|span|warnings)\.\w+")
SHOWS_ITSELF = {"__repr__", "__str__"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One change of a file: bytes `start` to `end` become `text`."""

    file: str
    function: str
    kind: str
    line: int
    start: int
    end: int
    text: str

    @property
    def place(self) -> str:
        """Where it is, as a report has it."""
        return f"{self.file}:{self.line} {self.function}"

    def applied(self, source: bytes) -> bytes:
        """Return the file with the fault in it."""
        return source[: self.start] + self.text.encode() + source[self.end :]

    def shown(self, source: bytes) -> str:
        """Return the line before and after."""
        before, after = (text.splitlines()[self.line - 1].decode().strip() for text in (source, self.applied(source)))
        return f"`{before}` → `{after}`" if after else f"`{before}` is gone"


def belongs_to(file: Path, service: Path) -> str:
    """Return the package of a file."""
    folder = file.parent.relative_to(service).as_posix()
    return max((name for name in PACKAGES if f"{folder}/".startswith(f"{name}/" if name else "")), key=len)


def changed(node: ast.expr, **fields: object) -> str:
    """Return the source of an expression with other fields."""
    other = copy.copy(node)
    for name, value in fields.items():
        setattr(other, name, value)
    return ast.unparse(other)


def changes(node: ast.AST) -> Iterator[tuple[str, ast.expr | ast.stmt, str]]:
    """Yield the faults that a node can have: the kind, the part that changes, and its new source."""
    match node:
        case ast.Compare(ops=[op]) if type(op) in TURNED:
            yield "comparison turned round", node, changed(node, ops=[TURNED[type(op)]()])
        case ast.BoolOp(op=op):
            yield "and, or", node, changed(node, op=ast.Or() if isinstance(op, ast.And) else ast.And())
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield "not dropped", node, ast.unparse(operand)
        case ast.Constant(value=bool(value)):
            yield "other truth", node, str(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield "number + 1", node, repr(value + 1)
        case ast.BinOp(op=ast.Add() | ast.Sub() as op):
            yield "plus, minus", node, changed(node, op=ast.Sub() if isinstance(op, ast.Add) else ast.Add())
        case ast.Call(keywords=[*others, ast.keyword(arg=str())]):
            yield "argument dropped", node, changed(node, keywords=others)
        case ast.Expr(value=ast.Call() | ast.Await(value=ast.Call())):
            yield "statement dropped", node, ""
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test) if isinstance(test, PLAIN):
            yield "not added", test, f"not {ast.unparse(test)}"


def is_observing(node: ast.AST) -> bool:
    """Whether a statement only logs or traces."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and OBSERVING.fullmatch(ast.unparse(node.value.func)) is not None
    )


def named_children(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Yield the nodes below a node with the names of their fields."""
    for name, field in ast.iter_fields(node):
        yield from (
            (name, child) for child in (field if isinstance(field, list) else [field]) if isinstance(child, ast.AST)
        )


def parts(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what a function does: its nodes without annotations, inner functions, and what only logs."""
    for name, child in named_children(node):
        if not (name in SKIPPED_FIELDS or isinstance(child, SKIPPED_NODES) or is_observing(child)):
            yield child
            yield from parts(child)


def faults_in(function: Function, file: str, source: bytes) -> Iterator[Fault]:
    """Yield every fault that a function can have."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    candidates = [*(change for node in parts(function) for change in changes(node)), *returns_nothing(function)]
    for kind, node, text in candidates:
        yield Fault(
            file=file,
            function=function.name,
            kind=kind,
            line=node.lineno,
            start=starts[node.lineno - 1] + node.col_offset,
            end=starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0),
            text=text,
        )


def returns_nothing(function: Function) -> Iterator[tuple[str, ast.expr, str]]:
    """Yield a return of None in place of a value, where the types allow it."""
    if function.returns and "None" in ast.unparse(function.returns):
        for node in parts(function):
            if isinstance(node, ast.Return) and node.value and ast.unparse(node.value) != "None":
                yield "return of None", node.value, "None"


def means_something_else(fault: Fault, source: bytes) -> bool:
    """Whether Python can read the file with the fault in it, and reads another program."""
    try:
        return ast.dump(ast.parse(fault.applied(source))) != ast.dump(ast.parse(source))
    except SyntaxError:
        return False


def choose(root: Path, package: str, seed: str) -> Fault:
    """Choose a function of a package, and a fault of it. The same seed chooses the same fault of the same files."""
    chance, service = random.Random(f"{seed} {package}"), root / "service"  # noqa: S311 (no secret hangs on it)
    files = [file for file in sorted(service.rglob("*.py")) if belongs_to(file, service) == package]
    while files:
        (file,) = chance.choices(files, [file.stat().st_size for file in files])
        files.remove(file)
        source = file.read_bytes()
        functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, Function)]
        chance.shuffle(functions)
        for function in functions:
            faults = [*faults_in(function, file.relative_to(root).as_posix(), source)]
            chance.shuffle(faults)
            for fault in faults:
                if function.name not in SHOWS_ITSELF and means_something_else(fault, source):
                    return fault
    raise LookupError(f"no function of '{package}' can have a fault")
