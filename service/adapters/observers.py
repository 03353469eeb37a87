"""Several observers as one. Rule: each is told every event, in order."""

from service.usecases.ports.events import Event
from service.usecases.ports.observer import Observer


class ObserverGroup:
    """Tells all of them."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def __call__(self, event: Event) -> None:
        """Take note."""
        for observe in self._observers:
            observe(event)
