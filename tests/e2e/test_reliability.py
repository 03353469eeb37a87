"""Short form of `python -m tools.chaos`: its rounds, but fewer."""

from pathlib import Path

import pytest

from tools.chaos.rounds import (
    BUDGET,
    FIRST_HALF,
    Harm,
    crash_store,
    harm_parts,
    kill_gateways,
    race,
    wipe_store,
    wipe_under_load,
)
from tools.chaos.storm import SHORT, storm


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    return folder


def test_a_budget_is_never_exceeded_and_can_be_used_up(place: Path) -> None:
    for toll in race(place, 2):
        assert toll.admitted > 0
        assert toll.posted <= toll.used <= BUDGET
        assert toll.used >= 0.95 * BUDGET


def test_a_store_that_is_wiped_under_load_keeps_budgets(place: Path) -> None:
    for toll in wipe_under_load(place, 2):
        assert toll.admitted >= FIRST_HALF
        assert toll.posted <= BUDGET
        assert toll.posted >= 0.9 * BUDGET


def test_a_killed_gateway_loses_no_call(place: Path) -> None:
    toll = kill_gateways(place, 4)
    assert toll.calls > 0
    assert toll.clean, toll


@pytest.mark.parametrize("harm", [crash_store, wipe_store])
def test_a_store_that_restarts_with_less_data_loses_no_call(place: Path, harm: Harm) -> None:
    toll = harm_parts(place, 2, harm)
    assert toll.calls > 0
    assert toll.clean, toll


def test_vendor_faults_under_load_book_each_call_exactly_once(place: Path) -> None:
    wake = storm(place, SHORT)
    assert wake.entries > 0
    assert (wake.doubled, wake.lost, wake.sure, wake.avoidable) == ([], [], [], [])
