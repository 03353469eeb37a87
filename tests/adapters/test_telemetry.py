"""What is written down: every event, in JSON where it is for machines, readable where it is for people."""

import io
import json
import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest
import structlog

from service.adapters.logs.event_log import OPERATOR_ERROR_CODES, EventLog, configure_logging
from service.api.http.errors import FAILURES, ROWS
from service.domain.circuit_breaker import BreakerState
from service.domain.errors import FailureKind
from service.domain.request_labels import Outcome
from service.usecases.ports.events import (
    AttemptFinished,
    BreakerChanged,
    Crashed,
    ImageStoreFailed,
    Listening,
    RateLimitObserved,
    RequestFinished,
    StoreUnsafe,
)
from service.usecases.ports.observer import Event


class Terminal(io.StringIO):
    """A stream that a person reads."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    structlog.reset_defaults()
    logging.root.handlers, logging.root.level = handlers, level


def request(path: str = "/v1/models") -> RequestFinished:
    return RequestFinished(
        request_id="req_1",
        method="GET",
        path=path,
        status=200,
        milliseconds=1.26,
        bytes_out=7,
        log_fields={"team": "search"},
    )


def attempt(failure: FailureKind | None) -> AttemptFinished:
    return AttemptFinished(request_id="req_1", backend="openai", model="m", seconds=0.5, failure=failure)


HEADROOM = RateLimitObserved(backend="openai", model="m", measure="images", remaining=1, limit=None)


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (request(), {"event": "request", "status": 200, "ms": 1.3, "bytes": 7, "team": "search", "level": "info"}),
        (attempt(FailureKind.BUSY), {"event": "attempt failed", "failure": "busy", "ms": 500.0, "level": "warning"}),
        (Listening(address="http://x", backends=("sandbox",)), {"event": "listening", "backends": ["sandbox"]}),
        (ImageStoreFailed(request_id="req_1", reason="full"), {"event": "image not stored", "reason": "full"}),
        (
            StoreUnsafe(store="REDIS_URL", problem="drops", advice="set"),
            {"event": "store unsafe", "store": "REDIS_URL", "problem": "drops", "advice": "set", "level": "warning"},
        ),
        (
            BreakerChanged(
                backend="openai", state=BreakerState.OPEN, reason=FailureKind.AUTH_FAILED, open_seconds=60.0
            ),
            {"event": "breaker", "backend": "openai", "state": "open", "reason": "auth_failed", "level": "warning"},
        ),
        (
            BreakerChanged(backend="openai", state=BreakerState.CLOSED, reason=None, open_seconds=0.0),
            {"event": "breaker", "state": "closed", "reason": None, "level": "info"},
        ),
        (Crashed(request_id="req_1", error="KeyError", trace=("a.py:1 f",)), {"event": "crash", "trace": ["a.py:1 f"]}),
    ],
)
def test_each_event_is_one_line_of_json(event: Event, line: dict[str, object]) -> None:
    stream = io.StringIO()
    configure_logging(stream)
    EventLog().record(event)
    (written,) = stream.getvalue().splitlines()
    assert line.items() <= json.loads(written).items()


@pytest.mark.parametrize("event", [request("/health/ready"), attempt(None), HEADROOM])
def test_what_happens_all_the_time_is_not_written(event: Event) -> None:
    stream = io.StringIO()
    configure_logging(stream)
    EventLog().record(event)
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("status", "verdict", "code", "level"),
    [
        (200, Outcome.SERVED, None, "info"),
        (400, Outcome.INVALID, "invalid_value", "info"),
        (400, Outcome.MODERATED, "moderation_blocked", "info"),
        (401, Outcome.UNAUTHENTICATED, "invalid_api_key", "info"),
        (429, Outcome.LIMITED, "rate_limit_exceeded", "info"),
        (429, Outcome.LIMITED, "insufficient_quota", "info"),
        (499, Outcome.CLIENT_GONE, "client_closed_request", "info"),
        (504, Outcome.NOT_CACHED, "not_cached", "info"),
        (404, Outcome.UPSTREAM_REJECTED, "model_not_found", "warning"),
        (429, Outcome.UPSTREAM_LIMITED, "rate_limit_exceeded", "warning"),
        (502, Outcome.UPSTREAM_FAILED, "upstream_error", "warning"),
        (200, Outcome.UPSTREAM_FAILED, "upstream_broken_reply", "warning"),
        (503, Outcome.UPSTREAM_FAILED, "backend_set_aside", "warning"),
        (503, Outcome.UNAVAILABLE, "gateway_busy", "warning"),
        (503, Outcome.UNAVAILABLE, "gateway_shutting_down", "warning"),
        (502, Outcome.UPSTREAM_FAILED, "upstream_auth_error", "error"),
        (429, Outcome.UPSTREAM_LIMITED, "insufficient_quota", "error"),
        (503, Outcome.UNAVAILABLE, "state_unavailable", "error"),
        (503, Outcome.UNAVAILABLE, "storage_unavailable", "error"),
        (503, Outcome.UNAVAILABLE, "ledger_unavailable", "error"),
        (508, Outcome.UPSTREAM_FAILED, "loop_detected", "error"),
        (500, Outcome.INTERNAL, "internal_error", "error"),
    ],
)
def test_a_request_is_as_urgent_as_what_has_to_be_done(
    status: int, verdict: Outcome, code: str | None, level: str
) -> None:
    stream = io.StringIO()
    configure_logging(stream)

    facts = {"error": code} if code else {}
    EventLog(sample=0.0 if level != "info" else 1.0).record(
        replace(request(), status=status, outcome=verdict, log_fields=facts)
    )

    assert json.loads(stream.getvalue())["level"] == level


def test_every_code_of_an_operators_error_is_one_that_callers_get() -> None:
    assert {*OPERATOR_ERROR_CODES} <= {row.code for row in (*ROWS.values(), *FAILURES.values())}


def test_a_terminal_gets_words(capsys: pytest.CaptureFixture[str]) -> None:
    del capsys
    stream = Terminal()
    configure_logging(stream)
    EventLog().record(request())
    assert "request" in stream.getvalue()
    assert "{" not in stream.getvalue()


def test_the_servers_own_warnings_have_the_same_form() -> None:
    stream = io.StringIO()
    configure_logging(stream)
    logging.getLogger("uvicorn.error").warning("Exceeded limit")
    assert json.loads(stream.getvalue())["event"] == "Exceeded limit"


@pytest.mark.parametrize("words", ["a caf\xe9", "\x9b31m", "half \ud800", "a\nb\x1b[31m", {1: {"\xe9"}}, object()])
def test_a_line_is_ascii_whatever_is_in_it(words: object) -> None:
    stream = io.StringIO()
    configure_logging(stream)
    EventLog().record(replace(request(), log_fields={"prompt": words}))
    (written,) = stream.getvalue().splitlines()
    assert written.isascii()
    assert written.isprintable()
    assert not isinstance(words, str) or json.loads(written)["prompt"] == words


def sampled(sample: float, status: int) -> list[str]:
    """Which of 1,000 requests are written down."""
    stream = io.StringIO()
    configure_logging(stream)
    telemetry = EventLog(sample)
    for number in range(1_000):
        telemetry.record(replace(request(), request_id=f"req_{number}", status=status))
    return [json.loads(line)["request_id"] for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize(("sample", "least", "most"), [(0, 0, 0), (0.1, 70, 130), (1, 1_000, 1_000)])
def test_of_what_went_well_a_share_is_written(sample: float, least: int, most: int) -> None:
    assert least <= len(sampled(sample, 200)) <= most
    assert len(sampled(sample, 400)) == len(sampled(sample, 502)) == 1_000


def test_every_replica_writes_the_same_ones() -> None:
    assert 0 < len(sampled(0.5, 200)) < 1_000
    assert sampled(0.5, 200) == sampled(0.5, 200)
