"""Leaving a part alone after it failed."""

from service.adapters.cooldown import Cooldown


def test_nobody_asks_until_the_pause_is_over_and_then_one() -> None:
    now = 100.0
    pause = Cooldown(1.0, lambda: now)
    assert not pause.is_active()
    pause.start()
    assert pause.is_active()
    now += 1
    assert not pause.is_active()
    assert pause.is_active()
    pause.end()
    assert not pause.is_active()
    assert not pause.is_active()


def test_a_second_failure_is_a_second_pause() -> None:
    now = 100.0
    pause = Cooldown(1.0, lambda: now)
    pause.start()
    now += 1
    assert not pause.is_active()
    now += 0.5
    pause.start()
    now += 0.75
    assert pause.is_active()
