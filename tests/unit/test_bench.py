"""What the benchmarks make of what was measured."""

from collections import Counter

import msgspec
import pytest

from tools.bench.cases import CASES, Case
from tools.bench.figures import Figure, Results
from tools.bench.instructions import Counts, find_growth
from tools.bench.report import BEGIN, END, detail, placed, summary
from tools.bench.vendor_replies import canned
from tools.bench.wrk import as_seen, percentile

EXPECTED = 100


def corrected(seen: Counter[int]) -> Counter[int]:
    """As wrk writes samples that it believes to have missed; src/stats.c."""
    found = Counter(seen)
    for value, count in seen.items():
        if value >= 2 * EXPECTED:
            for earlier in range(value - EXPECTED, EXPECTED, -EXPECTED):
                found[earlier] += count
    return found


@pytest.mark.parametrize("values", [[50, 60, 150], [199, 200, 201], [1000, 900, 450, 120, 120, 90], [100] * 5 + [1050]])
def test_samples_that_were_added_are_taken_away(values: list[int]) -> None:
    seen = Counter(values)
    assert as_seen(corrected(seen), EXPECTED) == seen


def test_a_percentile_is_a_value_that_was_seen() -> None:
    seen = Counter(range(1, 201))
    assert (percentile(seen, 0.5), percentile(seen, 0.99), percentile(Counter([7]), 0.99)) == (100, 198, 7)


@pytest.mark.parametrize("case", [case for case in CASES if case.length < 10_000_000], ids=lambda case: case.slug)
def test_answers_are_as_long_as_they_should_be(case: Case) -> None:
    assert len(canned(case)) == case.length


def test_a_tenth_more_than_before_is_too_much() -> None:
    before = Counts(python="3", libraries={}, instructions={"floor": 10, "1 KB": 100, "1 KB, kept": 50, "models": 20})
    grown = Counts(python="3", libraries={}, instructions={"floor": 20, "1 KB": 219, "1 KB, kept": 124, "models": 45})
    assert find_growth(before, before) == []
    assert [line.split(":")[0] for line in find_growth(grown, before)] == ["models"]


def figure(peer: str, number: int, cpu: float, p50: float) -> Figure:
    """Of one run."""
    told = {"case": "1 KB", "at_once": 1, "peer": peer, "round": number, "requests": 100, "bytes": 100_000}
    return Figure(**told, seconds=0.5, cpu=cpu, redis=0.2, sql=0, p50=p50, p99=p50, peak=90)  # type: ignore[arg-type]


RESULTS = Results(
    when="2026-11-21",
    machine="a machine",
    load="0.1",
    versions={"nginx": "1.22.1"},
    figures=[
        figure(peer, number, cpu * (1 + number), p50)
        for number in (0, 1)
        for peer, cpu, p50 in (("upstream", 0.1, 0.5), ("gateway", 2.0, 4.5), ("Portkey", 3.0, 6.5))
    ],
)


def test_ratios_are_taken_within_a_round() -> None:
    assert RESULTS.ratio(("1 KB", 1), "Portkey", "gateway", "cpu") is not None
    assert "| 1 KB | 1 | 1.50 |" in summary(RESULTS)


def test_an_aim_is_met_or_missed_or_open_where_nothing_was_measured() -> None:
    cheap = msgspec.structs.replace(RESULTS, figures=[figure("gateway", 0, 1.0, 4.5), figure("LiteLLM", 0, 5.1, 9.0)])
    assert "| 1 KB, ms of CPU | ≤ 1.0 | 3.00 (2.00 to 4.00) | - | missed |" in summary(RESULTS)
    assert "| 1 KB, ms of CPU | ≤ 1.0 | 1.00 | - | met |" in summary(cheap)
    assert "| 2 MB, CPU of LiteLLM / gateway | ≥ 5 | - | - | - |" in summary(cheap)


def test_an_aim_from_below_is_met_from_above() -> None:
    both = [figure("gateway", 0, 1.0, 4.5), figure("LiteLLM", 0, 5.1, 9.0), figure("Portkey", 0, 7.9, 9.0)]
    large = [msgspec.structs.replace(each, case="2 MB", at_once=32) for each in both]
    large += [msgspec.structs.replace(each, case="2 MB", cpu=1.0) for each in both]
    told = summary(msgspec.structs.replace(RESULTS, figures=large))
    assert "| 2 MB, CPU of LiteLLM / gateway | ≥ 5 | 1.00 | 5.10 | met in part |" in told
    assert "| 2 MB, CPU of Portkey / gateway | ≥ 8 | 1.00 | 7.90 | missed |" in told


def test_what_a_peer_adds_is_beyond_the_upstream() -> None:
    line = next(line for line in detail(RESULTS).splitlines() if line.startswith("| Portkey"))
    assert [cell.strip() for cell in line.split("|")][6:9] == ["6.00", "6.00", "200"]


def test_a_run_is_written_between_the_marks() -> None:
    page = f"before\n{BEGIN}; say where -->\nold\n{END}\nafter\n"
    written = placed(page, summary(RESULTS))
    assert written.startswith("before\n")
    assert written.endswith(f"{END}\nafter\n")
    assert "old" not in written
    assert placed(written, summary(RESULTS)) == written
    with pytest.raises(ValueError, match="not found"):
        placed("a page without marks", "")
