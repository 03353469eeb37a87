"""OpenAI's failures, each as the answer that it sends. `openai.FAULTS` is this table.

Rule: status, envelope and headers are the vendor's. The names are the vendor's codes where it has one.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from tests.simulators.server import Answer

ORGANIZATION = "in organization org-simulator"
RATE_LIMITED = (
    f"Rate limit reached for gpt-image-2 (for limit gpt-image) {ORGANIZATION} on {{0}} per min: "
    "Limit 5, Used 5, Requested 1. Please try again in 12s."
)
BILLING = "You exceeded your current quota, please check your plan and billing details."
BLOCKED = (
    "Your request was rejected by the safety system. If you believe this is an error, contact us at help.openai.com "
    "and include the request ID req_simulator. safety_violations=[{0}]."
)
UNVERIFIED = (
    "Your organization must be verified to use the model `gpt-image-2`. Please go to: "
    "https://platform.openai.com/settings/organization/general and click on Verify Organization."
)
COUNTRY = "Country, region, or territory not supported"
INVALID_KEY = (
    "Incorrect API key provided: sk-simul****ator. You can find your API key at "
    "https://platform.openai.com/account/api-keys."
)
MIMETYPE = (
    "Invalid file 'image[0]': unsupported mimetype ('application/octet-stream'). "
    "Supported file formats are 'image/jpeg', 'image/png', and 'image/webp'."
)
SERVER_ERROR = (
    "The server had an error while processing your request. Sorry about that! You can retry your request, "
    "or contact us through our help center at help.openai.com if the error persists."
)
USER_ERROR = "image_generation_user_error"


def envelope(
    message: str, *, kind: str | None, param: str | None = None, code: str | None = None, **more: Any
) -> bytes:
    """Build the error document."""
    return msgspec.json.encode({"error": {"message": message, "type": kind, "param": param, "code": code} | more})


def _failure(
    status: int,
    code: str | None,
    message: str,
    *,
    kind: str | None = "invalid_request_error",
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> Answer:
    always = {"content-type": "application/json", "x-request-id": "req_simulator", "openai-processing-ms": "7"}
    body = envelope(message, kind=kind, param=param, code=code, **more)
    return Answer(status=status, headers=always | dict(headers or {}), body=body)


def _blocked(stage: str, category: str) -> Answer:
    details = {"moderation_stage": stage, "categories": [category]}
    message = BLOCKED.format(category)
    return _failure(400, "moderation_blocked", message, kind=USER_ERROR, moderation_details=details)


def _limited(kind: str) -> Answer:
    headers = {
        "retry-after": "12",
        "x-ratelimit-limit-requests": "5",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "12s",
    }
    return _failure(429, "rate_limit_exceeded", RATE_LIMITED.format(kind), kind=kind, headers=headers)


def _unpaid(code: str, *, status: int = 429) -> Answer:
    return _failure(status, code, BILLING, kind="insufficient_quota")


def _found(document: object) -> Answer:
    return Answer(status=200, headers={"x-request-id": "req_simulator"}, body=msgspec.json.encode(document))


def _broken_stream() -> Answer:
    """Build a stream with one partial image, then an error event."""
    partial = {"type": "image_generation.partial_image", "b64_json": "AAAA", "created_at": 1_795_218_140}
    look = {"size": "1024x1024", "quality": "high", "background": "opaque", "output_format": "png"}
    first = msgspec.json.encode({**partial, **look, "partial_image_index": 0})
    details = {"moderation_stage": "output", "categories": ["violence"]}
    message = BLOCKED.format("violence")
    error = envelope(message, kind=USER_ERROR, code="moderation_blocked", moderation_details=details)
    body = b"event: image_generation.partial_image\ndata: %s\n\nevent: error\ndata: %s\n\n" % (first, error)
    return Answer(status=200, headers={"content-type": "text/event-stream"}, body=body)


FAULTS: Mapping[str, Answer] = {
    "unknown_parameter": _failure(
        400, "unknown_parameter", "Unknown parameter: 'response_format'.", param="response_format"
    ),
    "invalid_value": _failure(
        400,
        "invalid_value",
        "Transparent background is not supported for this model.",
        kind=USER_ERROR,
        param="background",
    ),
    "invalid_size": _failure(
        400,
        "invalid_value",
        "Invalid size '872x2048'. Width and height must both be divisible by 16.",
        param="size",
    ),
    "moderation_blocked": _blocked("input", "violence"),
    "moderation_blocked_output": _blocked("output", "sexual"),
    "content_policy_violation": _failure(
        400, "content_policy_violation", "Your request was rejected as a result of our safety system.", kind=None
    ),
    "unsupported_file_mimetype": _failure(400, "unsupported_file_mimetype", MIMETYPE, param="image"),
    "invalid_image_file": _failure(
        400,
        "invalid_image_file",
        "Invalid image file or mode for image 1, please check your image file.",
        param="image",
    ),
    "invalid_api_key": _failure(401, "invalid_api_key", INVALID_KEY),
    "unverified_organization": _failure(403, None, UNVERIFIED),
    "unsupported_country": _failure(403, "unsupported_country_region_territory", COUNTRY, kind="request_forbidden"),
    "model_not_found": _failure(
        404, "model_not_found", "The model 'gpt-image-2' does not exist or you do not have access to it.", param="model"
    ),
    "rate_limit_requests": _limited("requests"),
    "rate_limit_tokens": _limited("tokens"),
    "rate_limit_images": _limited("images"),
    "rate_limit_input_images": _limited("input-images"),
    "slow_down": _failure(429, "slow_down", "Slow down: your traffic rose too fast.", kind=None),
    "credit_balance_exhausted": _unpaid("credit_balance_exhausted"),
    "organization_spend_limit_exceeded": _unpaid("organization_spend_limit_exceeded"),
    "project_spend_limit_exceeded": _unpaid("project_spend_limit_exceeded"),
    "organization_usage_limit_exceeded": _unpaid("organization_usage_limit_exceeded"),
    "insufficient_quota": _unpaid("insufficient_quota"),
    "billing_hard_limit_reached": _unpaid("billing_hard_limit_reached", status=400),
    "server_error": _failure(500, "server_error", SERVER_ERROR, kind="server_error"),
    "server_error_without_code": _failure(500, None, SERVER_ERROR, kind="server_error"),
    "server_is_overloaded": _failure(
        503, "server_is_overloaded", "The server is currently overloaded, please try again later.", kind="server_error"
    ),
    "bad_gateway_page": Answer(
        status=502, headers={"content-type": "text/html"}, body=b"<html><body><h1>502 Bad Gateway</h1></body></html>"
    ),
    "no_pictures": _found({"created": 1_795_218_137, "data": []}),
    "picture_without_bytes": _found({"created": 1_795_218_137, "data": [{"revised_prompt": "a cat"}]}),
    "error_in_stream": _broken_stream(),
}
