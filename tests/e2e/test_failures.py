"""Every failure of a vendor at the caller: the right status, a correct advice on retries, and no secrets."""

import base64
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx2
import pytest

from tests.simulators import openai, together
from tests.simulators.exchange import Fault
from tests.simulators.server import Answer, Simulator
from tests.support.gateway import ANSWER_SECONDS, GatewayProcess
from tests.support.images import open_image, png

Seen = tuple[int, str, str]
INVALID, SERVER, QUOTA = "invalid_request_error", "server_error", "insufficient_quota"
AUTH: Seen = (502, "upstream_auth_error", SERVER)
SPENT: Seen = (429, "insufficient_quota", QUOTA)
BLOCKED: Seen = (400, "moderation_blocked", "image_generation_user_error")
BROKEN: Seen = (502, "upstream_broken_reply", SERVER)
FAILED: Seen = (502, "upstream_error", SERVER)
AWAY: Seen = (502, "upstream_unreachable", SERVER)
LIMITED: Seen = (429, "rate_limit_exceeded", "requests")

OPENAI: Mapping[str, Seen] = {
    "unknown_parameter": (400, "unknown_parameter", INVALID),
    "invalid_value": (400, "invalid_value", INVALID),
    "invalid_size": (400, "invalid_value", INVALID),
    "moderation_blocked": BLOCKED,
    "moderation_blocked_output": BLOCKED,
    "content_policy_violation": (400, "content_policy_violation", "image_generation_user_error"),
    "unsupported_file_mimetype": (400, "unsupported_file_mimetype", INVALID),
    "invalid_image_file": (400, "invalid_image_file", INVALID),
    "billing_hard_limit_reached": SPENT,
    "invalid_api_key": AUTH,
    "unverified_organization": AUTH,
    "unsupported_country": AUTH,
    "model_not_found": (404, "model_not_found", INVALID),
    "rate_limit_requests": LIMITED,
    "rate_limit_tokens": LIMITED,
    "rate_limit_images": LIMITED,
    "rate_limit_input_images": LIMITED,
    "slow_down": (429, "slow_down", "requests"),
    "credit_balance_exhausted": SPENT,
    "organization_spend_limit_exceeded": SPENT,
    "project_spend_limit_exceeded": SPENT,
    "organization_usage_limit_exceeded": SPENT,
    "insufficient_quota": SPENT,
    "server_error": FAILED,
    "server_error_without_code": FAILED,
    "server_is_overloaded": (503, "server_is_overloaded", SERVER),
    "bad_gateway_page": FAILED,
    "no_pictures": BROKEN,
    "picture_without_bytes": BROKEN,
    "error_in_stream": BLOCKED,
}

TOGETHER: Mapping[str, Seen] = {
    "bad_parameter": (400, "invalid_value", INVALID),
    "non_serverless": (404, "model_not_found", INVALID),
    "invalid_api_key": AUTH,
    "payment_required": SPENT,
    "third_party_data_sharing_blocked": (403, "third_party_data_sharing_blocked", INVALID),
    "model_not_found": (404, "model_not_found", INVALID),
    "nsfw": BLOCKED,
    "rate_limit_requests": LIMITED,
    "rate_limit_tokens": LIMITED,
    "server_error": FAILED,
    "overloaded": (503, "server_is_overloaded", SERVER),
    "bad_gateway_page": FAILED,
    "no_pictures": BROKEN,
}

RETRIED = {LIMITED, FAILED, AWAY, (429, "slow_down", "requests"), (503, "server_is_overloaded", SERVER)}
SECRETS = re.compile(r"sk-|tgp-|org-|https?://|api\.openai|simulator|operator's key|Traceback")


NUMBERS = itertools.count()
"""Numbers for prompts: a failure that may have been billed is replayed to an identical request for a while."""


def call(http: httpx2.Client, gateway: GatewayProcess) -> httpx2.Response:
    body = {"model": "gpt-image-2", "prompt": f"a private fox {next(NUMBERS)}"}
    return http.post(f"{gateway.url}/v1/images/generations", json=body, headers=gateway.headers)


def check(reply: httpx2.Response, seen: Seen) -> None:
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["type"]) == seen, error
    assert reply.headers["x-should-retry"] == ("true" if seen in RETRIED else "false")
    assert not SECRETS.search(error["message"]), error
    assert ("moderation_details" in error) == (error["code"] == "moderation_blocked")
    assert int(reply.headers.get("retry-after", 0)) <= 60


@pytest.mark.parametrize("name", sorted(openai.FAULTS))
def test_openai(name: str, openai_gateway: GatewayProcess, openai_sim: Simulator, http: httpx2.Client) -> None:
    openai_sim.answer(openai.FAULTS[name])
    check(call(http, openai_gateway), OPENAI[name])
    assert len(openai_sim.requests) == 1


@pytest.mark.parametrize("name", sorted(together.FAULTS.keys() - {"lean_reply"}))
def test_together(name: str, together_gateway: GatewayProcess, together_sim: Simulator, http: httpx2.Client) -> None:
    together_sim.answer(together.FAULTS[name])
    check(call(http, together_gateway), TOGETHER[name])
    assert len(together_sim.requests) == 1


def test_a_minimal_reply_of_together_is_delivered(
    together_gateway: GatewayProcess, together_sim: Simulator, http: httpx2.Client
) -> None:
    image = base64.b64encode(png()).decode()
    lean = json.dumps({"id": "x", "data": [{"index": 0, "type": None, "b64_json": image}], "timings": {"inference": 1}})
    together_sim.answer(Answer(status=200, body=lean.encode()))
    reply = call(http, together_gateway)
    assert reply.status_code == 200, reply.text
    facts = {"object": "list", "model": "gpt-image-2", "size": "64x64", "output_format": "png", "background": "opaque"}
    assert facts.items() <= reply.json().items()
    assert "timings" not in reply.json()


ODD: Mapping[str, tuple[str, bool]] = {
    "no usage": ('"usage": {}', False),
    "chat's names": ('"usage": {"prompt_tokens": 10, "completion_tokens": 196, "total_tokens": 206}', True),
    "floats": ('"usage": {"input_tokens": 10.0, "output_tokens": 196.0}', True),
    "strings": ('"usage": {"input_tokens": "10", "output_tokens": "196"}', True),
    "a total": ('"usage": {"total_tokens": 206}', False),
    "nonsense": ('"usage": {"input_tokens": NaN, "output_tokens": -1}', False),
    "other members": ('"created": "1795218137.5", "size": [64, 64], "quality": 7, "output_format": {}', False),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("form", ["%s", "data:image/png;base64,%s"])
def test_a_paid_image_is_delivered_despite_invalid_fields_beside_it(
    form: str, name: str, openai_gateway: GatewayProcess, openai_sim: Simulator, http: httpx2.Client
) -> None:
    members, is_counted = ODD[name]
    image = base64.b64encode(png()).decode()
    openai_sim.answer(Answer(status=200, body=f'{{{members}, "data": [{{"b64_json": "{form % image}"}}]}}'.encode()))
    reply = call(http, openai_gateway)
    assert reply.status_code == 200, reply.text
    assert reply.json()["data"][0]["b64_json"] == image
    assert ("usage" in reply.json()) == is_counted
    assert float(reply.headers["x-gateway-cost-usd"]) >= 196 * 0.00003


def test_an_image_in_another_format_is_transcoded(
    together_gateway: GatewayProcess, together_sim: Simulator, http: httpx2.Client
) -> None:
    image = base64.b64encode(png(kind="JPEG")).replace(b"/", b"\\/")
    together_sim.answer(Answer(status=200, body=b'{"data":[{"index":0,"b64_json":"' + image + b'"}]}'))
    reply = call(http, together_gateway).json()
    assert (reply["output_format"], open_image(reply["data"][0], http).format) == ("png", "PNG")


def test_bytes_that_are_no_image_are_not_delivered(
    together_gateway: GatewayProcess, together_sim: Simulator, http: httpx2.Client
) -> None:
    together_sim.answer(Answer(status=200, body=b'{"data":[{"index":0,"b64_json":"bm8gcGljdHVyZQ=="}]}'))
    check(call(http, together_gateway), BROKEN)


def test_the_retry_time_of_a_vendor_reaches_the_caller(
    openai_gateway: GatewayProcess,
    together_gateway: GatewayProcess,
    openai_sim: Simulator,
    together_sim: Simulator,
    http: httpx2.Client,
) -> None:
    limited = openai.FAULTS["rate_limit_images"]
    openai_sim.answer(
        Answer(status=429, body=limited.body), Answer(status=429, body=limited.body, headers={"retry-after": "900"})
    )
    assert call(http, openai_gateway).headers["retry-after"] == "12"
    assert call(http, openai_gateway).headers["retry-after"] == "60"
    together_sim.answer(Answer(status=429, body=b"{}", headers={"x-ratelimit-reset": "3.2"}))
    assert call(http, together_gateway).headers["retry-after"] == "4"


@pytest.mark.parametrize(
    "fault",
    ["close_before_headers", "reset_before_headers", "close_mid_body", "garbage", "not_json", "empty_body", "cut_json"],
)
def test_a_broken_call_is_not_repeated(
    fault: Fault, openai_gateway: GatewayProcess, openai_sim: Simulator, http: httpx2.Client
) -> None:
    openai_sim.answer(Answer(fault=fault))
    check(call(http, openai_gateway), BROKEN)
    assert len(openai_sim.requests) == 1


LATE: Seen = (504, "upstream_timeout", SERVER)
PAGE = b"<html><body>error</body></html>"
CDN = {"server": "cloudflare", "cf-ray": "8f00baaa-AMS"}
DOUBTED: Mapping[int, Seen] = {504: LATE, 520: LATE, 524: LATE, 521: BROKEN, 530: BROKEN, 507: BROKEN, 599: BROKEN}
ASKS = ("generation", "stream", "edit", "streamed edit")


def asked(http: httpx2.Client, gateway: GatewayProcess, ask: str) -> httpx2.Response:
    fields = {"model": "gpt-image-2", "prompt": f"a doubtful fox, {next(NUMBERS)}"}
    more = {"stream": "true", "partial_images": "1"} if "stream" in ask else {}
    if "edit" not in ask:
        body = fields | ({"stream": True, "partial_images": 1} if more else {})
        return http.post(f"{gateway.url}/v1/images/generations", json=body, headers=gateway.headers)
    files = {"image": ("fox.png", png(), "image/png")}
    return http.post(f"{gateway.url}/v1/images/edits", data=fields | more, files=files, headers=gateway.headers)


@pytest.mark.parametrize("status", DOUBTED)
@pytest.mark.parametrize("ask", ASKS)
def test_an_ambiguous_status_is_one_call_that_may_be_billed(
    ask: str, status: int, openai_gateway: GatewayProcess, openai_sim: Simulator, http: httpx2.Client
) -> None:
    openai_sim.answer(Answer(status=status, body=PAGE))
    reply = asked(http, openai_gateway, ask)
    check(reply, DOUBTED[status])
    assert (reply.json()["error"]["may_be_billed"], len(openai_sim.requests)) == (True, 1)


@pytest.mark.parametrize("status", DOUBTED)
def test_an_ambiguous_status_of_together_is_one_call_that_may_be_billed(
    status: int, together_gateway: GatewayProcess, together_sim: Simulator, http: httpx2.Client
) -> None:
    together_sim.answer(Answer(status=status, body=PAGE))
    reply = call(http, together_gateway)
    check(reply, DOUBTED[status])
    assert (reply.json()["error"]["may_be_billed"], len(together_sim.requests)) == (True, 1)


def test_a_call_that_a_cdn_could_not_forward_costs_nothing(
    openai_gateway: GatewayProcess, openai_sim: Simulator, http: httpx2.Client
) -> None:
    openai_sim.answer(Answer(status=521, body=PAGE, headers=CDN))
    reply = call(http, openai_gateway)
    check(reply, AWAY)
    assert "may_be_billed" not in reply.json()["error"]


@pytest.mark.parametrize("status", [301, 307, 404, 405, 407, 411, 413, 421, 426, 431])
def test_a_4xx_without_the_apis_error_form_is_a_fault_of_the_operator(
    status: int, openai_gateway: GatewayProcess, openai_sim: Simulator, http: httpx2.Client
) -> None:
    openai_sim.answer(Answer(status=status, body=PAGE, headers={"location": "https://elsewhere.test/"}))
    reply = call(http, openai_gateway)
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], reply.headers["x-should-retry"]) == (502, "upstream_error", "false")
    assert ("may_be_billed" in error, "operator" in error["message"]) == (False, True)
    assert len(openai_sim.requests) == 1


@pytest.mark.parametrize("status", [202, 204, 303, 409, 499])
def test_a_reply_without_success_or_error_may_be_billed(
    status: int, openai_gateway: GatewayProcess, openai_sim: Simulator, http: httpx2.Client
) -> None:
    openai_sim.answer(Answer(status=status, body=b"" if status == 204 else b'{"id":"job_1","status":"queued"}'))
    reply = call(http, openai_gateway)
    check(reply, BROKEN)
    assert (reply.json()["error"]["may_be_billed"], len(openai_sim.requests)) == (True, 1)


def test_a_402_means_an_exhausted_account(
    openai_gateway: GatewayProcess, openai_sim: Simulator, http: httpx2.Client
) -> None:
    openai_sim.answer(Answer(status=402, body=PAGE))
    check(call(http, openai_gateway), SPENT)


@pytest.mark.parametrize("status", [201, 206])
def test_an_image_is_delivered_under_every_2xx_status(
    status: int, openai_gateway: GatewayProcess, openai_sim: Simulator, http: httpx2.Client
) -> None:
    openai_sim.answer(Answer(status=status))
    reply = call(http, openai_gateway)
    assert reply.status_code == 200, reply.text
    assert float(reply.headers["x-gateway-cost-usd"]) > 0


def test_two_of_four_images_are_an_error_and_booked(
    openai_gateway: GatewayProcess, openai_sim: Simulator, http: httpx2.Client
) -> None:
    item = {"b64_json": base64.b64encode(png()).decode()}
    openai_sim.answer(Answer(status=200, body=json.dumps({"created": 1, "data": [item, item]}).encode()))
    body = {"model": "gpt-image-2", "prompt": "a private fox", "n": 4}
    reply = http.post(f"{openai_gateway.url}/v1/images/generations", json=body, headers=openai_gateway.headers)
    check(reply, BROKEN)
    assert "2 of 4 images were bought and are booked" in reply.json()["error"]["message"]
    assert (reply.json()["error"]["may_be_billed"], len(openai_sim.requests)) == (True, 1)


STATE = {"timeout_seconds": ANSWER_SECONDS}


@pytest.fixture(scope="module")
def hasty_gateway(
    tmp_path_factory: pytest.TempPathFactory, config: Path, openai_server: Simulator
) -> Iterator[GatewayProcess]:
    """A gateway that waits 0.3 s for OpenAI, makes two calls at a time, and has an unreachable backend."""
    folder = tmp_path_factory.mktemp("hasty")
    own = folder / "config"
    own.mkdir()
    (own / "teams.yaml").write_text((config / "teams.yaml").read_text())
    models = (config / "models.yaml").read_text()
    (own / "models.yaml").write_text(models.replace("backend: together", "backend: nobody"))
    backends = {
        "openai": {
            "dialect": "openai",
            "base_url": openai_server.base_url,
            "api_key_env": "OPENAI_API_KEY",
            "deadline_seconds": 1.5,
        },
        "nobody": {"dialect": "together", "base_url": "http://127.0.0.1:9/v1", "api_key_env": "OPENAI_API_KEY"},
    }
    (own / "gateway.yaml").write_text(json.dumps({"backends": backends, "cache": {"seconds": 0}, "redis": STATE}))
    environment = {"IMAGE_GATEWAY_CONFIG": str(own), "OPENAI_API_KEY": "sk-operator"}
    with GatewayProcess(folder / "data", environment) as gateway:
        yield gateway


@pytest.mark.parametrize("fault", ["stall_before_headers", "stall_after_headers", "stall_mid_body"])
def test_a_call_to_a_stalled_vendor_times_out_once(
    fault: Fault, hasty_gateway: GatewayProcess, openai_sim: Simulator, http: httpx2.Client
) -> None:
    openai_sim.answer(Answer(fault=fault))
    check(call(http, hasty_gateway), (504, "upstream_timeout", SERVER))
    assert len(openai_sim.requests) == 1


def test_an_unreachable_vendor_is_a_502_that_may_be_retried(hasty_gateway: GatewayProcess, http: httpx2.Client) -> None:
    body = {"model": "black-forest-labs/FLUX.2-pro", "prompt": "a private fox"}
    reply = http.post(f"{hasty_gateway.url}/v1/images/generations", json=body, headers=hasty_gateway.headers)
    assert (reply.status_code, reply.json()["error"]["code"]) == (502, "upstream_unreachable")
    assert reply.headers["x-should-retry"] == "true"


def test_a_failure_without_cost_is_tried_at_the_next_backend(
    hasty_gateway: GatewayProcess, openai_sim: Simulator, http: httpx2.Client
) -> None:
    """OpenAI is out of credit, and the next route is unreachable: the caller gets the failure that passes."""
    openai_sim.answer(openai.FAULTS["insufficient_quota"])
    check(call(http, hasty_gateway), AWAY)
    refused = {"failure": "unreachable", "cause": "the connection is refused"}
    hasty_gateway.await_logged("attempt failed", backend="nobody", model="openai/gpt-image-2", **refused)


def test_no_secret_and_no_prompt_is_logged(openai_gateway: GatewayProcess, hasty_gateway: GatewayProcess) -> None:
    text = "".join(openai_gateway.lines + hasty_gateway.lines)
    assert "private fox" not in text
    assert "sk-" not in text
