"""What the scale benchmark makes of what was measured, and what a site of a size needs."""

import pytest

from tools.bench.memory import CACHED, ENDED, HOLD, WAITING
from tools.bench.scale import capacity, report
from tools.bench.scale.__main__ import put
from tools.bench.scale.capacity import Measured, held, measured, needs, per_pod, tables
from tools.bench.scale.figures import Crowd, Flight, Renewal, Scale, Shared, Size, Step
from tools.bench.scale.redis_bytes import TEAM

MEASURED = Measured(
    cpu=10.0,
    redis=0.5,
    sql=0.2,
    results=2.0,
    idle=100e6,
    waiting=50e3,
    passing=1e6,
    hold=1000,
    ended=100,
    on_its_way=600,
    team=2000,
    cached=2.1e6,
    row=500,
)


def flight(answer: str, in_flight: int, peak: float) -> Flight:
    told = {"requests": 1000, "failed": 0, "seconds": 10.0, "redis": 0.5, "sql": 0.2, "results": 2.0}
    return Flight(answer=answer, in_flight=in_flight, cpu=10.0, idle=100.0, peak=peak, **told)  # type: ignore[arg-type]


CROWD = Crowd(
    teams=50,
    failed=0,
    per_second=60,
    start=4,
    fresh=118,
    resident=121,
    first=9,
    first_redis=2,
    cpu=5,
    redis=1,
    idle_cpu=60,
    idle_redis=4,
    scripts=30,
    commands=100,
    reload_cpu=0.4,
    silence=0.1,
    page_bytes=48_000,
    page_cpu=4,
)
SIZE = Size(database="PostgreSQL", entries=10_000_000, bytes=5_000_000_000)
SCALE = Scale(
    when="2026-11-21",
    machine="a machine",
    load="0.1",
    versions={"Valkey": "9.1"},
    flights=[flight("1 KB", 1, 101.0), flight("1 KB", 1001, 151.0), flight("2 MB", 400, 220.0)],
    renewals=[Renewal(holds=500, calls=5, server=6, cpu=15)],
    crowds=[CROWD],
    steps=[
        Step(database="PostgreSQL", entries=1_000_000, what="write 1", wall=[2.0, 4.0], cpu=1.0),
        Step(database="SQLite", entries=1_000_000, what="write 100", wall=[3.0], cpu=3.0),
    ],
    sizes=[Size(database="PostgreSQL", entries=1_000_000, bytes=500_000_000)],
    shared=[
        Shared(
            gateways=2, requests=60, failed=0, seconds=1, cpu=5, redis=1, sql=0.5, budget=100, asked=200, admitted=100
        ),
    ],
    spaces={HOLD: 1000, WAITING: 600, ENDED: 100, CACHED: 2.1e6, TEAM: 2000},
)


def test_a_section_measured_by_itself_takes_the_place_of_the_one_that_was_there() -> None:
    later = Scale(when="2026-11-22", machine="a machine", load="0.2", versions={}, minutes=9, sizes=[SIZE])
    whole = put(later, SCALE, "ledger")
    assert (whole.sizes, whole.crowds, whole.when) == ([SIZE], SCALE.crowds, SCALE.when)
    assert "By itself: ledger, 2026-11-22, load 0.2, 9 minutes." in report.summary(whole).replace("\n", " ")


def test_pods_are_enough_for_half_a_core_each_with_one_to_spare() -> None:
    assert [needs(MEASURED, rate, 30).pods for rate in (1, 10, 100, 1000)] == [2, 2, 3, 21]


def test_calls_in_flight_are_rate_times_wait_and_are_shared_by_the_pods() -> None:
    site = needs(MEASURED, 1000, 60)
    assert (site.in_flight, site.calls, site.sockets) == (60_000, 2858, 5716)
    assert site.pod_usual == pytest.approx(100e6 + 2858 * 50e3 + 1000 / 21 * 1e6)
    assert site.pod_worst == pytest.approx(100e6 + 2858 * (50e3 + 2e6 * 4 / 3 * 1.25))


def test_a_thousand_pictures_of_two_megabytes_a_second_are_21_gigabits_of_base64() -> None:
    assert needs(MEASURED, 1000, 30).gigabits == pytest.approx(21.33, abs=0.01)


def test_stores_grow_with_what_they_keep() -> None:
    site = needs(MEASURED, 100, 30)
    assert site.money == 3000 * 1000 + 100 * 3600 * 100 + 1000 * 2000
    assert site.outage == 100 * 3600 * 500
    assert (site.redis_cores, site.primaries, site.results_cores) == (0.05, 1, 0.2)
    assert (site.rows, site.disk, site.batches) == (8_640_000, 8_640_000 * 500, 15)


def test_a_pod_is_full_long_after_two_hundred_calls() -> None:
    assert per_pod(MEASURED, 30) == (50, 1500)
    assert held(MEASURED) == (2 * 2**30 - 100_000_000) // (50_000 + 10_000_000 // 3)


def test_memory_of_a_call_that_waits_is_told_apart_from_answers_on_their_way() -> None:
    found = measured(SCALE)
    assert (found.waiting, found.idle, found.row) == (50e3, 100e6, 500)
    assert found.passing == pytest.approx((120e6 - 400 * 50e3) / 100)


def test_what_goes_on_by_itself_is_not_the_request_s() -> None:
    assert report.own(CROWD) == 4


def test_every_ledger_has_a_column_and_what_was_not_asked_is_a_dash() -> None:
    lines = report.steps(SCALE).splitlines()
    assert lines[0] == "|  | PostgreSQL, 1,000,000 | SQLite, 1,000,000 |"
    assert lines[2:] == ["| write 1 | 2.00 to 4.00 (1.00) | - |", "| write 100 | - | 3.00 to 3.00 (3.00) |"]


@pytest.mark.parametrize(("begin", "text"), [(report.BEGIN, report.summary(SCALE)), (capacity.BEGIN, tables(SCALE))])
def test_a_run_is_written_between_its_own_marks(begin: str, text: str) -> None:
    other = "<!-- make bench writes from here -->\nits own\n<!-- to here -->\n"
    page = f"before\n{other}{begin}\nan older run\n<!-- to here -->\nafter\n"
    written = report.placed(page, text, begin)
    assert written.startswith(f"before\n{other}")
    assert written.endswith("<!-- to here -->\nafter\n")
    assert "an older run" not in written
    assert report.placed(written, text, begin) == written
