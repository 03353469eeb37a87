"""Port of tracing: spans of requests and of calls of backends.

Rule: a span is opened before the call, so that its context can be propagated. It records the same event that logs and
metrics receive.

Fails with: nothing. No method raises or waits, but `close`.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol

from service.domain.generation import CallOutcome
from service.usecases.ports.events import AttemptFinished, RequestFinished


class RequestSpan(Protocol):
    """One request of a caller."""

    @property
    def trace_id(self) -> str:
        """32 hex digits; empty without tracing."""
        ...

    def record(self, event: RequestFinished) -> None:
        """Record the end of the request."""
        ...


class AttemptSpan(Protocol):
    """One call of a backend."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers that propagate the trace to the vendor."""
        ...

    def record(self, event: AttemptFinished, outcome: CallOutcome) -> None:
        """Record the end of the call."""
        ...


class Tracer(Protocol):
    """Opens spans. A span inside of another is its child, also in tasks that were started there."""

    def request(self, method: str, headers: Mapping[str, str]) -> AbstractContextManager[RequestSpan]:
        """Open a span for a block, within the trace of the headers if they have one. Header names are lower-case."""
        ...

    def attempt(self, backend: str, model: str) -> AbstractContextManager[AttemptSpan]:
        """Open a span for a block."""
        ...

    async def close(self) -> None:
        """Export the remaining spans. Gives up after a few seconds."""
        ...


@dataclass(frozen=True, slots=True)
class _NullRequestSpan:
    trace_id: str = ""

    def record(self, event: RequestFinished) -> None: ...


@dataclass(frozen=True, slots=True)
class _NullAttemptSpan:
    headers: Mapping[str, str] = field(default_factory=dict)

    def record(self, event: AttemptFinished, outcome: CallOutcome) -> None: ...


class NullTracer:
    """Tracing that is off."""

    _request = nullcontext(_NullRequestSpan())
    _attempt = nullcontext(_NullAttemptSpan())

    def request(self, method: str, headers: Mapping[str, str]) -> AbstractContextManager[RequestSpan]:  # noqa: ARG002
        return self._request

    def attempt(self, backend: str, model: str) -> AbstractContextManager[AttemptSpan]:  # noqa: ARG002
        return self._attempt

    async def close(self) -> None: ...
