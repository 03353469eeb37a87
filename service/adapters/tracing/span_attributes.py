"""Names and attributes of spans, by OpenTelemetry's conventions for HTTP and for generative AI.

Rule: this table has every attribute of a span. No attribute has a prompt, an image, a secret or a caller's word. The
conventions for generative AI are not stable yet; only this file changes with them. Source:
https://opentelemetry.io/docs/specs/semconv/gen-ai/ (read 2026-11-21) and …/semconv/http/.
"""

from collections.abc import Callable, Mapping

from service.domain.generation import CallOutcome, Generation, Usage
from service.usecases.ports.events import AttemptFinished, RequestFinished

Value = str | int | float

OPERATION = "image_generation"
PROVIDERS: Mapping[str, str] = {"together": "together_ai"}
"""Names of vendors in the conventions that differ from their dialect's name."""

REQUEST_ATTRIBUTES: Mapping[str, Callable[[RequestFinished], Value | None]] = {
    "http.request.method": lambda event: event.method,
    "http.response.status_code": lambda event: event.status,
    "http.response.body.size": lambda event: event.bytes_out,
    "gateway.request_id": lambda event: event.request_id,
    "gateway.operation": lambda event: event.operation.value,
    "gateway.outcome": lambda event: event.outcome.value,
    "gateway.team": lambda event: event.team or None,
    "gateway.model": lambda event: event.labels.model or None,
    "gateway.tier": lambda event: event.labels.tier or None,
    "gateway.cache": lambda event: event.labels.cache or None,
}

ATTEMPT_ATTRIBUTES: Mapping[str, Callable[[AttemptFinished, CallOutcome], Value | None]] = {
    "gateway.request_id": lambda event, _: event.request_id,
    "error.type": lambda event, _: event.failure.value if event.failure else None,
    "gen_ai.usage.input_tokens": lambda _, outcome: _tokens(outcome, lambda usage: usage.tokens_in),
    "gen_ai.usage.output_tokens": lambda _, outcome: _tokens(outcome, lambda usage: usage.tokens_out),
    "gateway.images": lambda _, outcome: len(outcome.images) if isinstance(outcome, Generation) else 0,
}


def request_span_name(event: RequestFinished) -> str:
    """Return the name of a request's span. No word of the caller's path is in it."""
    return f"{event.method} {event.operation.value}"


def attempt_span_name(model: str) -> str:
    """Return the name of an attempt's span."""
    return f"{OPERATION} {model}"


def attempt_start_attributes(backend: str, dialect: str, model: str) -> dict[str, Value]:
    """Return the attributes that are known before an attempt."""
    return {
        "gen_ai.operation.name": OPERATION,
        "gen_ai.provider.name": PROVIDERS.get(dialect, dialect),
        "gen_ai.request.model": model,
        "gen_ai.output.type": "image",
        "gateway.backend": backend,
    }


def request_attributes(event: RequestFinished) -> dict[str, Value]:
    """Return the attributes of an answered request."""
    return {name: value for name, read in REQUEST_ATTRIBUTES.items() if (value := read(event)) is not None}


def attempt_attributes(event: AttemptFinished, outcome: CallOutcome) -> dict[str, Value]:
    """Return the attributes of a finished attempt."""
    return {name: value for name, read in ATTEMPT_ATTRIBUTES.items() if (value := read(event, outcome)) is not None}


def _tokens(outcome: CallOutcome, read: Callable[[Usage], int]) -> int | None:
    return read(outcome.usage) if isinstance(outcome, Generation) and outcome.usage else None
