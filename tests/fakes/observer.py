"""Fake observer: keeps all events in their order."""

import asyncio
from typing import TypeVar

from service.usecases.ports.observer import Event, Observer

E = TypeVar("E", bound=Event)


class Recorder(Observer):
    """Events in the order in which they were recorded. `recorded` is set by the first event of the awaited kind."""

    def __init__(self, awaited: type[Event] = Event) -> None:
        self.events: list[Event] = []
        self.recorded = asyncio.Event()
        self._awaited = awaited

    def record(self, event: Event) -> None:
        """Keep the event."""
        self.events.append(event)
        if isinstance(event, self._awaited):
            self.recorded.set()

    def of(self, kind: type[E]) -> list[E]:
        """Return the events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]


class FailOnEvent(Observer):
    """Observer of a test in which nothing may be recorded."""

    def record(self, event: Event) -> None:
        """Fail with the event."""
        raise AssertionError(event)
