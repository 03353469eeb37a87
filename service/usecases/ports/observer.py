"""Port of the observer: receives every event."""

from typing import Protocol

from service.usecases.ports.events import Event


class Observer(Protocol):
    """Is told what happened. Must not raise and must not block."""

    def __call__(self, event: Event) -> None:
        """Take note."""
        ...


def discard_event(event: Event) -> None:
    """Nobody is told."""
