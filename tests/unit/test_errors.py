"""The tree of errors: drawn, complete, and every leaf of it in use."""

import ast
import inspect
import re
from functools import cache
from pathlib import Path

import pytest

import service
from service.domain import errors
from service.domain.errors import (
    BackendFailed,
    Failure,
    FailureKind,
    FailureReplayed,
    FailureShared,
    GatewayError,
    LimitExceeded,
)
from tests.fakes.builders import failure

SOURCE = Path(service.__file__).parent
CLASSES = [
    kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, GatewayError)
]  # those of the domain
LEAVES = [kind for kind in CLASSES if not any(other.__base__ is kind for other in CLASSES)]


def drawn() -> dict[str, str | None]:
    """Each class of the drawing with the one that it hangs on."""
    parents: dict[str, str | None] = {}
    branch: list[tuple[int, str]] = []
    for indent, name in re.findall(r"^( {4}[ │├└─]*)([A-Z]\w+)", errors.__doc__ or "", re.MULTILINE):
        while branch and branch[-1][0] >= len(indent):
            branch.pop()
        parents[name] = branch[-1][1] if branch else None
        branch.append((len(indent), name))
    return parents


def test_the_drawing_is_the_tree() -> None:
    tree = {kind.__name__: kind.__base__ and kind.__base__.__name__ for kind in CLASSES}

    assert drawn() == {**tree, "GatewayError": None}


@cache
def names_used(*packages: str, called: bool) -> set[str]:
    """Names and attributes in the code of some packages, all of them or only those that are called."""
    files = [file for package in packages for file in (SOURCE / package).rglob("*.py")]
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text("utf-8")))]
    used = [node.func for node in nodes if isinstance(node, ast.Call)] if called else nodes
    return {node.attr for node in used if isinstance(node, ast.Attribute)} | {
        node.id for node in used if isinstance(node, ast.Name)
    }


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.__name__)
def test_every_leaf_is_raised_somewhere(leaf: type[GatewayError]) -> None:
    assert leaf.__name__ in names_used(".", called=True)


@pytest.mark.parametrize("kind", FailureKind)
def test_every_kind_of_failure_comes_from_somewhere(kind: FailureKind) -> None:
    assert kind.name in names_used("adapters", "usecases", called=False)


WITH_MORE = frozenset({FailureShared, FailureReplayed, LimitExceeded})


@pytest.mark.parametrize("leaf", [leaf for leaf in LEAVES if leaf not in WITH_MORE], ids=lambda leaf: leaf.__name__)
def test_every_leaf_carries_the_message_for_the_caller(leaf: type[GatewayError]) -> None:
    refused = leaf("It is wrong.", param="size", code="refined")

    assert (refused.message, refused.param, refused.code) == ("It is wrong.", "size", "refined")
    assert str(refused) == "It is wrong."
    assert (leaf("x").param, leaf("x").code) == (None, None)


def test_a_failed_call_carries_its_failure() -> None:
    refused = Failure(kind=FailureKind.INVALID_REQUEST, message="No.", code="bad", param="prompt")

    raised = BackendFailed(refused)

    assert raised.failure is refused
    assert (raised.message, raised.code, raised.param, str(raised)) == ("No.", "bad", "prompt", "No.")


def test_a_failure_that_says_little_says_none() -> None:
    bare = failure(FailureKind.BUSY)

    assert (bare.code, bare.param, bare.retry_after, bare.moderation_details) == (None, None, None, None)


def test_what_may_be_billed_is_what_went_out_without_a_verdict() -> None:
    assert set(errors.MAY_BE_BILLED) == {FailureKind.TIMED_OUT, FailureKind.BROKEN_REPLY}
