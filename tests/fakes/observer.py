"""An observer that remembers."""

from typing import TypeVar

from service.usecases.ports.events import Event

E = TypeVar("E")


class Recorder:
    """Every event, in order."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type[E]) -> list[E]:
        """Return the events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]
