"""Which failure a vendor's status is, and whether the vendor may want money for it."""

import msgspec
import pytest

from service.adapters.backends.dialect import Dialect
from service.adapters.backends.openai import OpenAIDialect
from service.adapters.backends.sandbox.backend import named_failure
from service.adapters.backends.together import TogetherDialect
from service.domain.circuit_breaker import Signal, to_signal
from service.domain.errors import Failure, FailureKind
from service.domain.routing import NextStep, step_after
from service.usecases.ports.requests import UpstreamRequest
from tests.fakes.builders import price, route, spec

DIALECTS = (OpenAIDialect(), TogetherDialect())
CDN = {"server": "cloudflare", "cf-ray": "8f00baaa-AMS"}
PAGE = b"<html><head><title>error</title></head></html>"
UNNAMED = msgspec.json.encode({"error": {"message": "Oh no.", "type": "strange", "code": "strange"}})
KINDS = FailureKind

every_dialect = pytest.mark.parametrize("dialect", DIALECTS, ids=["openai", "together"])
every_form = pytest.mark.parametrize("body", [PAGE, b"", b"{}", UNNAMED], ids=["page", "empty", "object", "envelope"])
every_signature = pytest.mark.parametrize("headers", [{}, CDN], ids=["vendor", "cdn"])


@every_dialect
@every_form
@every_signature
@pytest.mark.parametrize("status", [408, 504, 520, 524])
def test_who_has_the_request_and_did_not_answer_may_bill_it(
    status: int, headers: dict[str, str], body: bytes, dialect: Dialect
) -> None:
    failure = dialect.read_failure(status, headers, body)
    assert (failure.kind, failure.may_be_billed, step_after(failure)) == (KINDS.TIMED_OUT, True, NextStep.GIVE_UP)


@every_dialect
@every_form
@every_signature
@pytest.mark.parametrize("status", [501, 505, 507, 527, 531, 540, 561, 598, 599, 600, 999])
def test_what_nobody_documents_may_be_billed(
    status: int, headers: dict[str, str], body: bytes, dialect: Dialect
) -> None:
    failure = dialect.read_failure(status, headers, body)
    assert (failure.kind, failure.may_be_billed, step_after(failure)) == (KINDS.BROKEN_REPLY, True, NextStep.GIVE_UP)


@every_dialect
@pytest.mark.parametrize("status", [521, 522, 523, 525, 526, 530])
@pytest.mark.parametrize(
    ("headers", "body", "kind"),
    [
        ({"server": "cloudflare"}, PAGE, KINDS.UNREACHABLE),
        ({"server": "Cloudflare"}, b"error code: 521", KINDS.UNREACHABLE),
        ({"cf-ray": "8f00baaa-AMS"}, b"", KINDS.UNREACHABLE),
        (CDN, b'{"type":"about:blank","title":"Origin is down","cloudflare_error":true}', KINDS.UNREACHABLE),
        (CDN, UNNAMED, KINDS.BROKEN_REPLY),
        ({}, PAGE, KINDS.BROKEN_REPLY),
        ({"server": "nginx"}, b"", KINDS.BROKEN_REPLY),
    ],
)
def test_the_cdn_alone_knows_that_it_reached_nobody(
    headers: dict[str, str], body: bytes, kind: FailureKind, status: int, dialect: Dialect
) -> None:
    failure = dialect.read_failure(status, headers, body)
    assert (failure.kind, failure.may_be_billed) == (kind, kind is KINDS.BROKEN_REPLY)


@every_dialect
@every_form
@every_signature
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (500, KINDS.SERVER_ERROR),
        (502, KINDS.SERVER_ERROR),
        (503, KINDS.OVERLOADED),
        (529, KINDS.SERVER_ERROR),
    ],
)
def test_what_vendors_document_as_worth_another_try_costs_nothing(
    status: int, kind: FailureKind, headers: dict[str, str], body: bytes, dialect: Dialect
) -> None:
    failure = dialect.read_failure(status, headers, body)
    assert (failure.kind, failure.may_be_billed, step_after(failure)) == (kind, False, NextStep.LATER)


@every_dialect
@every_signature
@pytest.mark.parametrize(
    "body",
    [
        PAGE,
        b"",
        b"{}",
        b"null",
        b'{"detail":"Not Found"}',
        b'{"message":"no Route matched with those values"}',
        b'{"error":"Not Found","status":404}',
        b'{"error":{"reason":"strange"}}',
    ],
)
@pytest.mark.parametrize(
    "status", [300, 301, 302, 307, 308, 400, 404, 405, 407, 411, 413, 415, 418, 421, 422, 426, 431, 451]
)
def test_what_is_no_error_of_the_api_is_the_operators(
    status: int, body: bytes, headers: dict[str, str], dialect: Dialect
) -> None:
    failure = dialect.read_failure(status, headers, body)
    assert (failure.kind, failure.permanent, failure.may_be_billed) == (KINDS.SERVER_ERROR, True, False)
    assert step_after(failure) is NextStep.NEXT_ROUTE
    assert "operator" in failure.message
    assert to_signal(failure) is Signal.NONE


@every_dialect
@pytest.mark.parametrize("status", [301, 307, 405, 407, 411, 421, 426, 431, 508])
def test_nor_are_callers_blamed_for_how_the_gateway_calls(status: int, dialect: Dialect) -> None:
    failure = dialect.read_failure(status, {}, UNNAMED)
    assert (failure.kind, failure.permanent, failure.may_be_billed) == (KINDS.SERVER_ERROR, True, False)


@every_dialect
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, KINDS.INVALID_REQUEST),
        (404, KINDS.MODEL_NOT_FOUND),
        (413, KINDS.INVALID_REQUEST),
        (415, KINDS.INVALID_REQUEST),
        (451, KINDS.INVALID_REQUEST),
    ],
)
def test_an_error_of_the_api_is_told_to_the_caller(status: int, kind: FailureKind, dialect: Dialect) -> None:
    failure = dialect.read_failure(status, CDN, UNNAMED)
    assert (failure.kind, failure.message, failure.may_be_billed) == (kind, "Oh no.", False)


@every_dialect
@every_form
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, KINDS.AUTH_FAILED),
        (402, KINDS.QUOTA_EXHAUSTED),
        (403, KINDS.FORBIDDEN),
        (429, KINDS.RATE_LIMITED),
        (303, KINDS.BROKEN_REPLY),
        (409, KINDS.BROKEN_REPLY),
        (499, KINDS.BROKEN_REPLY),
    ],
)
def test_what_a_status_says_in_any_form(status: int, kind: FailureKind, body: bytes, dialect: Dialect) -> None:
    failure = dialect.read_failure(status, {}, body)
    assert (failure.kind, failure.permanent) == (kind, False)
    assert failure.may_be_billed == (kind is KINDS.BROKEN_REPLY)


@pytest.mark.parametrize(("status", "code"), [(404, "unknown_url"), (404, "unknown_path")])
def test_a_wrong_base_address_is_no_missing_model(status: int, code: str) -> None:
    body = msgspec.json.encode({"error": {"message": "Unknown request URL.", "code": code}})
    failure = OpenAIDialect().read_failure(status, {}, body)
    assert (failure.kind, failure.permanent) == (KINDS.SERVER_ERROR, True)


def test_a_failure_is_read_by_the_version_before() -> None:
    """An older decoder ignores members that it does not know."""
    error = msgspec.json.encode(OpenAIDialect().read_failure(405, {}, PAGE))
    assert msgspec.json.decode(error)["permanent"] is True
    old = msgspec.defstruct("old", [("kind", FailureKind), ("message", str), ("drawn", bool, False)])
    assert msgspec.json.decode(error, type=old).kind is KINDS.SERVER_ERROR  # type: ignore[attr-defined]
    assert msgspec.json.decode(b'{"kind":"server_error","message":""}', type=Failure).permanent is False


def test_a_code_that_is_known_says_more_than_a_status() -> None:
    body = msgspec.json.encode({"error": {"message": "Later.", "code": "server_is_overloaded"}})
    assert OpenAIDialect().read_failure(599, {}, body).kind is KINDS.OVERLOADED


@every_dialect
@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_another_gateway_that_says_that_it_may_be_billed_is_believed(status: int, dialect: Dialect) -> None:
    body = msgspec.json.encode(
        {"error": {"message": "Broken.", "code": "upstream_broken_reply", "may_be_billed": True}}
    )
    failure = dialect.read_failure(status, {}, body)
    assert (failure.may_be_billed, step_after(failure)) == (True, NextStep.GIVE_UP)


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (b'{"error":{"message":"No.","code":"server_error"}}', KINDS.SERVER_ERROR),
        (b'{"type":"error","error":{"message":"No.","type":"server_error"}}', KINDS.SERVER_ERROR),
        (b'{"type":"error","code":"server_is_overloaded","message":"No."}', KINDS.OVERLOADED),
        (b'{"type":"error","code":"524","message":"No."}', KINDS.BROKEN_REPLY),
        (b'{"type":"error"}', KINDS.BROKEN_REPLY),
        (b'{"error":"timeout"}', KINDS.BROKEN_REPLY),
        (b'{"error":[]}', KINDS.BROKEN_REPLY),
        (b'{"error":{"status":524}}', KINDS.BROKEN_REPLY),
    ],
)
def test_only_an_error_of_the_api_ends_a_stream_for_nothing(event: bytes, kind: FailureKind) -> None:
    order = UpstreamRequest(spec=spec(), route=route(), price=price(), request_id="req_1")
    failure = OpenAIDialect().read_event(order, event)
    assert isinstance(failure, Failure)
    assert failure.kind is kind


def test_the_sandbox_fails_as_a_vendor_does() -> None:
    assert named_failure("server_error").kind is KINDS.SERVER_ERROR
    assert named_failure("timeout").may_be_billed
