"""Every event declares its line in the log."""

from dataclasses import dataclass, fields

import pytest

from service.usecases.ports import events
from service.usecases.ports.observer import Event, LogLevel, LogLine

EVENT_TYPES = [kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, Event)]


def test_every_event_is_logged_with_a_known_level_or_says_that_it_is_only_counted() -> None:
    lines = {kind: kind.__dict__["log_line"] for kind in EVENT_TYPES if kind is not Event}
    logged = [line for line in lines.values() if line is not None]
    assert 0 < len(logged) < len(lines)
    assert all(line.level in LogLevel and line.message for line in logged)
    assert len({line.message for line in logged}) == len(logged)


def test_no_field_of_an_event_has_the_name_of_a_key_that_every_line_has() -> None:
    for kind in EVENT_TYPES:
        assert {field.name for field in fields(kind)} & {"event", "level", "timestamp"} == set()


def test_an_event_without_a_log_line_is_refused() -> None:
    with pytest.raises(TypeError, match="Silent declares no log_line"):

        @dataclass(frozen=True)
        class Silent(Event):
            """An event that does not say whether it is logged."""


@pytest.mark.parametrize("line", [LogLine(31, "odd"), LogLine(LogLevel.INFO, "")])  # type: ignore[arg-type]
def test_an_event_with_an_unknown_level_or_no_message_is_refused(line: LogLine) -> None:
    with pytest.raises(TypeError, match=r"Odd\.log_line has no message or an unknown level"):
        type("Odd", (Event,), {"log_line": line})
