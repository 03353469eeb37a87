"""Spans, for whoever follows one request through many services.

Rule: a span is opened before what it is about, so that it can be carried on, and told the very event that is logged and
counted. Nothing here raises or waits; where nobody traces, nothing is done.
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
        """32 hex digits; empty where nobody traces."""
        ...

    def record(self, event: RequestFinished) -> None:
        """What it came to."""
        ...


class AttemptSpan(Protocol):
    """One call of a backend."""

    @property
    def headers(self) -> Mapping[str, str]:
        """What carries the trace on to the vendor."""
        ...

    def record(self, event: AttemptFinished, outcome: CallOutcome) -> None:
        """What it came to."""
        ...


class Tracer(Protocol):
    """Opens spans. One that is opened inside of another belongs to it, also in tasks that were started there."""

    def request(self, method: str, headers: Mapping[str, str]) -> AbstractContextManager[RequestSpan]:
        """A span for the length of a block, within the trace that headers with lower-case names may carry."""
        ...

    def attempt(self, backend: str, model: str) -> AbstractContextManager[AttemptSpan]:
        """A span for the length of a block."""
        ...

    async def close(self) -> None:
        """Hand in what was not handed in yet. Gives up after a few seconds."""
        ...


@dataclass(frozen=True, slots=True)
class _NullRequestSpan:
    trace_id: str = ""

    def record(self, event: RequestFinished) -> None:
        """Nobody listens."""


@dataclass(frozen=True, slots=True)
class _NullAttemptSpan:
    headers: Mapping[str, str] = field(default_factory=dict)

    def record(self, event: AttemptFinished, outcome: CallOutcome) -> None:
        """Nobody listens."""


class NullTracer:
    """Nobody traces."""

    _request = nullcontext(_NullRequestSpan())
    _attempt = nullcontext(_NullAttemptSpan())

    def request(self, method: str, headers: Mapping[str, str]) -> AbstractContextManager[RequestSpan]:  # noqa: ARG002
        """Nothing."""
        return self._request

    def attempt(self, backend: str, model: str) -> AbstractContextManager[AttemptSpan]:  # noqa: ARG002
        """Nothing."""
        return self._attempt

    async def close(self) -> None:
        """Nothing."""
