"""Outcomes of requests: every error has one, and a refusal by a limit records the limit."""

import inspect

import pytest
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException
from litestar.response.base import Response

from service.api.http.error_outcomes import OUTCOME_BY_FAILURE, error_outcome, with_outcome
from service.api.http.errors import FAILURES, ROWS
from service.api.http.request_context import Http, RequestContext
from service.api.http.request_middleware import OPERATION_PATHS, path_operation
from service.domain import errors
from service.domain.errors import BackendFailed, FailureKind, FailureReplayed, GatewayError, LimitExceeded
from service.domain.quota_limits import Limit, LimitStatus, Measure
from service.domain.request_labels import ApiOperation, Outcome
from tests.fakes.builders import failure

LIMIT = Limit("team", Measure.DAY, 1)
FULL = LimitExceeded("No.", LimitStatus(limit=LIMIT, used=1, resets_in=1))
OURS = frozenset({Outcome.UPSTREAM_FAILED, Outcome.UNAVAILABLE, Outcome.INTERNAL})
"""Outcomes that count against the error budget."""


@pytest.mark.parametrize("kind", FailureKind)
def test_every_failure_has_an_outcome_and_5xx_are_not_the_callers_fault(kind: FailureKind) -> None:
    outcome = error_outcome(BackendFailed(failure(kind)))
    assert outcome is error_outcome(FailureReplayed(failure(kind))) is OUTCOME_BY_FAILURE[kind]
    assert (outcome in OURS) == (FAILURES[kind].status >= 500)


@pytest.mark.parametrize("leaf", [kind for kind in ROWS if kind is not LimitExceeded])
def test_every_error_has_an_outcome_and_5xx_are_not_the_callers_fault(leaf: type[GatewayError]) -> None:
    takes_none = "self, message" in str(inspect.signature(leaf.__init__))
    outcome = error_outcome(leaf("No.")) if takes_none else None
    assert outcome is not None
    assert (outcome in OURS) == (ROWS[leaf].status >= 500 and leaf is not errors.NotCached)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (errors.MalformedBody("No."), Outcome.INVALID),
        (errors.NotAuthenticated("No."), Outcome.UNAUTHENTICATED),
        (errors.NotCached("No."), Outcome.NOT_CACHED),
        (errors.IdempotencyKeyReused("No."), Outcome.CONFLICT),
        (FULL, Outcome.LIMITED),
        (NotFoundException(), Outcome.NOT_FOUND),
        (MethodNotAllowedException(), Outcome.NOT_FOUND),
        (HTTPException(status_code=400), Outcome.INVALID),
        (HTTPException(status_code=500), Outcome.INTERNAL),
        (KeyError("a mistake of ours"), Outcome.INTERNAL),
    ],
)
def test_outcomes_of_errors(error: Exception, outcome: Outcome) -> None:
    assert error_outcome(error) is outcome


def line() -> RequestContext:
    return RequestContext(request_id="req_1", started_at=10.0, monotonic=lambda: 12.5)


@pytest.mark.parametrize(("error", "refused"), [(FULL, LIMIT), (errors.MalformedBody("No."), None)])
def test_an_exception_handler_records_the_outcome(error: GatewayError, refused: Limit | None) -> None:
    known, answered = line(), Response(b"")
    request = Http({"type": "http", "image_gateway": known})  # type: ignore[arg-type]  # all that is read of it
    assert with_outcome(lambda _, __: answered)(request, error) is answered
    assert (known.outcome, known.refused_limit) == (error_outcome(error), refused)


def test_only_the_time_of_the_first_preview_is_recorded() -> None:
    known = line()
    known.record_first_preview()
    known.monotonic = lambda: 99.0
    known.record_first_preview()
    assert known.first_preview_seconds == 2.5


def test_the_operation_of_a_path_is_that_of_its_route() -> None:
    assert {operation for _, operation in OPERATION_PATHS} == {*ApiOperation} - {ApiOperation.UNKNOWN}
    assert path_operation("/v1/images/edits") is ApiOperation.EDIT
    assert path_operation("/v1/images/{name:str}") is ApiOperation.IMAGES
    assert path_operation(None) is ApiOperation.UNKNOWN
