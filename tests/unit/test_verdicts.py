"""How a request ended: every error has a verdict, and a limit is told with it."""

import inspect

import pytest
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException
from litestar.response.base import Response

from service.api.edge import PLACES, Http, Line, operation_of
from service.api.errors import FAILURES, ROWS
from service.api.verdicts import OF_FAILURE, judged, verdict_of
from service.domain import errors
from service.domain.errors import CallFailed, CallReplayed, FailureKind, GatewayError, LimitExceeded
from service.domain.limits import Limit, Measure, Standing
from service.domain.marks import Operation, Verdict
from tests.fakes.builders import failure

LIMIT = Limit("team", Measure.DAY, 1)
FULL = LimitExceeded("No.", Standing(limit=LIMIT, used=1, resets_in=1))
OURS = frozenset({Verdict.UPSTREAM_FAILED, Verdict.UNAVAILABLE, Verdict.INTERNAL})
"""What spends the error budget."""


@pytest.mark.parametrize("kind", FailureKind)
def test_every_failure_has_one_and_5xx_are_not_the_callers_fault(kind: FailureKind) -> None:
    verdict = verdict_of(CallFailed(failure(kind)))
    assert verdict is verdict_of(CallReplayed(failure(kind))) is OF_FAILURE[kind]
    assert (verdict in OURS) == (FAILURES[kind].status >= 500)


@pytest.mark.parametrize("leaf", [kind for kind in ROWS if kind is not LimitExceeded])
def test_every_error_has_one_and_5xx_are_not_the_callers_fault(leaf: type[GatewayError]) -> None:
    takes_none = "self, message" in str(inspect.signature(leaf.__init__))
    verdict = verdict_of(leaf("No.")) if takes_none else None
    assert verdict is not None
    assert (verdict in OURS) == (ROWS[leaf].status >= 500 and leaf is not errors.NotCached)


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (errors.MalformedBody("No."), Verdict.INVALID),
        (errors.NotAuthenticated("No."), Verdict.UNAUTHENTICATED),
        (errors.NotCached("No."), Verdict.NOT_CACHED),
        (errors.KeyReused("No."), Verdict.CONFLICT),
        (FULL, Verdict.LIMITED),
        (NotFoundException(), Verdict.NOT_FOUND),
        (MethodNotAllowedException(), Verdict.NOT_FOUND),
        (HTTPException(status_code=400), Verdict.INVALID),
        (HTTPException(status_code=500), Verdict.INTERNAL),
        (KeyError("a mistake of ours"), Verdict.INTERNAL),
    ],
)
def test_verdicts(error: Exception, verdict: Verdict) -> None:
    assert verdict_of(error) is verdict


def line() -> Line:
    return Line(request_id="req_1", began=10.0, elapsed=lambda: 12.5)


@pytest.mark.parametrize(("error", "refused"), [(FULL, LIMIT), (errors.MalformedBody("No."), None)])
def test_an_answer_to_an_error_notes_the_verdict(error: GatewayError, refused: Limit | None) -> None:
    known, answered = line(), Response(b"")
    request = Http({"type": "http", "image_gateway": known})  # type: ignore[arg-type]  # all that is read of it
    assert judged(lambda _, __: answered)(request, error) is answered
    assert (known.verdict, known.refused) == (verdict_of(error), refused)


def test_the_first_preview_counts() -> None:
    known = line()
    known.preview()
    known.elapsed = lambda: 99.0
    known.preview()
    assert known.previewed == 2.5


def test_a_path_is_what_its_route_is_for() -> None:
    assert {operation for _, operation in PLACES} == {*Operation} - {Operation.UNKNOWN}
    assert operation_of("/v1/images/edits") is Operation.EDIT
    assert operation_of("/v1/images/{name:str}") is Operation.PICTURES
    assert operation_of(None) is Operation.UNKNOWN
