"""Port of the observer, which receives every event, and the base of events.

Rule: `log_line` of an event is the level and the message of its line in the log, or None for an event that is only
counted. An observer neither raises nor blocks.

Fails with: `TypeError` when an event without a valid `log_line` is defined.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import ClassVar, Protocol


class LogLevel(IntEnum):
    """Level of a log line, by its number in the standard library."""

    INFO = 20
    WARNING = 30
    ERROR = 40
    CRITICAL = 50


@dataclass(frozen=True, slots=True)
class LogLine:
    """Level and message of a line in the log."""

    level: LogLevel
    message: str


@dataclass(frozen=True)
class Event:
    """Base of every event."""

    __slots__ = ()
    log_line: ClassVar[LogLine | None]

    def __init_subclass__(cls) -> None:
        """Refuse an event that does not declare its `log_line`."""
        line = cls.__dict__.get("log_line", NotImplemented)
        if line is NotImplemented:
            raise TypeError(f"{cls.__name__} declares no log_line: a LogLine, or None if it is only counted.")
        if line is not None and not (isinstance(line.level, LogLevel) and line.message):
            raise TypeError(f"{cls.__name__}.log_line has no message or an unknown level: {line}.")

    def current_log_line(self) -> LogLine | None:
        """Return the line of this instance: `log_line`, unless the values of the event decide."""
        return self.log_line

    def fields_to_log(self) -> Mapping[str, object]:
        """Return the fields of the line: by default, all fields of the event."""
        return asdict(self)


class Observer(Protocol):
    """Receiver of all events."""

    def record(self, event: Event) -> None:
        """Log, count or ignore an event."""
        ...


class _NullObserver(Observer):
    """Observer that ignores all events."""

    def record(self, event: Event) -> None:
        pass


NULL_OBSERVER: Observer = _NullObserver()


class ObserverGroup(Observer):
    """Observers that receive each event one after the other."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def record(self, event: Event) -> None:
        """Pass an event to each observer."""
        for observer in self._observers:
            observer.record(event)
