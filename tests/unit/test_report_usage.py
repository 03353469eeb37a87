"""Reports of usage with the ledger's sums and their total, and exports of entries as a file."""

import pytest

from service.adapters.exports import available_formats
from service.adapters.optional_packages import install_hint
from service.domain.errors import InvalidValue, LedgerUnavailable
from service.domain.ledger import Basis
from service.domain.time_ranges import parse_time_bounds
from service.usecases.money.export_usage import ExportUsage
from service.usecases.money.report_usage import ReportUsage
from service.usecases.ports.ledger import EntryFilter, UsageRow
from tests.fakes.builders import NOW
from tests.fakes.entries import joined
from tests.fakes.ledger import FakeLedger, booked

SINCE, UNTIL = parse_time_bounds("2026-11-01", "2026-12-01", NOW)
NOVEMBER = EntryFilter(since=SINCE, until=UNTIL)


@pytest.fixture
async def entries_ledger() -> FakeLedger:
    entries_ledger = FakeLedger()
    await entries_ledger.write(
        [
            booked("a", team="ads", cost=10, n=2, text_in=3, image_in=4, image_out=5),
            booked("b", team="search", cost=20, basis=Basis.UNCONFIRMED, resolved_tier="high"),
            booked("c", team="search", cost=0, saved=30, basis=Basis.CACHE, tags={"project": "fox"}),
            booked("d", team="search", cost=1000, held_at=UNTIL),
        ]
    )
    return entries_ledger


async def test_without_groups_everything_is_one_row(entries_ledger: FakeLedger) -> None:
    usage_report = await ReportUsage(ledger=entries_ledger).report(NOVEMBER)

    assert usage_report.group_by == ()
    assert usage_report.total == UsageRow(
        group=(), entries=3, images=4, cost=30, saved=30, uncertain=20, tokens_in=7, tokens_out=5
    )


async def test_rows_add_up_to_the_total(entries_ledger: FakeLedger) -> None:
    usage_report = await ReportUsage(ledger=entries_ledger).report(NOVEMBER, ("team", "tag:project"))

    assert [(row.group, row.cost) for row in usage_report.rows] == [
        (("ads", None), 10),
        (("search", None), 20),
        (("search", "fox"), 0),
    ]
    assert usage_report.total.cost == 30
    assert usage_report.total.group == ()


async def test_a_team_sees_its_own(entries_ledger: FakeLedger) -> None:
    usage_report = await ReportUsage(ledger=entries_ledger).report(
        EntryFilter(since=SINCE, until=UNTIL, team="ads"), ("day",)
    )

    assert [(row.group, row.entries) for row in usage_report.rows] == [(("2026-11-15",), 1)]


async def test_nothing_is_nothing() -> None:
    usage_report = await ReportUsage(ledger=FakeLedger()).report(NOVEMBER, ("team",))

    assert (usage_report.rows, usage_report.total.entries, usage_report.total.cost) == ((), 0, 0)


async def test_every_entry_of_a_span_is_exported(entries_ledger: FakeLedger) -> None:
    export = await ExportUsage(ledger=entries_ledger, formats=available_formats()).export("csv", NOVEMBER)

    lines = (await joined(export.chunks)).decode().splitlines()
    assert export.name == "usage-20261101T000000Z-20261201T000000Z.csv"
    assert export.media_type.startswith("text/csv")
    assert [line.split(",")[0] for line in lines] == ["hold_id", "a", "b", "c"]


async def test_a_file_is_named_after_what_is_in_it(entries_ledger: FakeLedger) -> None:
    exporting = ExportUsage(ledger=entries_ledger, formats=available_formats())
    of_ads = EntryFilter(since=SINCE, until=UNTIL, team="ads")

    assert (await exporting.export("focus", of_ads)).name == "focus-ads-20261101T000000Z-20261201T000000Z.csv"
    assert (await exporting.export("parquet", of_ads)).name == "usage-ads-20261101T000000Z-20261201T000000Z.parquet"


async def test_an_empty_span_is_an_empty_file(entries_ledger: FakeLedger) -> None:
    export = await ExportUsage(ledger=entries_ledger, formats=available_formats()).export(
        "csv", EntryFilter(since=0, until=1)
    )

    assert (await joined(export.chunks)).count(b"\r\n") == 1


async def test_a_format_that_needs_an_extra_says_so(entries_ledger: FakeLedger) -> None:
    exporting = ExportUsage(
        ledger=entries_ledger, formats={"csv": available_formats()["csv"]}, missing={"parquet": install_hint("export")}
    )

    with pytest.raises(InvalidValue, match=r"offered are csv\. To have it, it needs the extra 'export': pip install '"):
        await exporting.export("parquet", NOVEMBER)


async def test_other_formats_are_refused(entries_ledger: FakeLedger) -> None:
    with pytest.raises(InvalidValue, match="'xlsx' is not offered here; offered are csv, focus, parquet") as refused:
        await ExportUsage(ledger=entries_ledger, formats=available_formats()).export("xlsx", NOVEMBER)

    assert refused.value.param == "format"


async def test_books_that_are_away_are_an_error_and_not_half_a_file(entries_ledger: FakeLedger) -> None:
    entries_ledger.down = True

    with pytest.raises(LedgerUnavailable):
        await ExportUsage(ledger=entries_ledger, formats=available_formats()).export("csv", NOVEMBER)
    with pytest.raises(LedgerUnavailable):
        await ReportUsage(ledger=entries_ledger).report(NOVEMBER)
