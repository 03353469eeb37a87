"""The ledger as files: every number exact, every text harmless, and no more in memory than a piece."""

import csv
import gc
import io
import itertools
import json
from collections.abc import AsyncIterator
from dataclasses import fields
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from service.adapters.exports import available_formats
from service.adapters.exports.csv import COLUMNS, ENTRIES_PER_CHUNK, CsvFormat, to_dollars
from service.adapters.exports.focus import FOCUS_COLUMNS, GATEWAY_COLUMNS, FocusFormat
from service.adapters.exports.parquet import ParquetFormat
from service.domain.ledger import Basis, Entry, EntryStatus
from tests.fakes.builders import entry
from tests.fakes.entries import joined, streamed

AT = 1_795_262_400_123_456  # 2026-11-21T12:00:00.123456Z
MANDATORY = {
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ContractedCost",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "ServiceCategory",
    "ServiceName",
}
"""Feature level "Mandatory" in FOCUS 1.2."""


def full(**changes: Any) -> Entry:
    """An entry that says everything."""
    known = {
        "hold_id": "hold-7",
        "n": 2,
        "cost": 413_000_001,
        "saved": 1,
        "basis": Basis.USAGE,
        "tier": "auto",
        "resolved_tier": "high",
        "size": "1024x1024",
        "text_in": 228,
        "image_in": 1450,
        "text_cached": 1,
        "image_cached": 2,
        "text_out": 3,
        "image_out": 13_342,
        "cache": "miss",
        "tags": {"project": "fox, owl", "env": 'a"b'},
        "held_at": AT,
        "posted_at": AT + 5_000_000,
    }
    return entry(**{**known, **changes})


async def rows(kind: CsvFormat | FocusFormat, *entries: Entry) -> list[dict[str, str]]:
    text = (await joined(kind.write(streamed(entries)))).decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_every_format_has_a_name() -> None:
    assert {name: form.extension for name, form in available_formats().items()} == {
        "csv": "csv",
        "focus": "csv",
        "parquet": "parquet",
    }


def test_every_field_of_an_entry_is_a_column() -> None:
    assert {name.removesuffix("_usd") for name in COLUMNS} == {field.name for field in fields(Entry)}


async def test_csv_says_everything_exactly() -> None:
    (row,) = await rows(CsvFormat(), full())

    assert row["cost_usd"] == "0.413000001"
    assert row["saved_usd"] == "0.000000001"
    assert (row["held_at"], row["posted_at"]) == ("2026-11-21T12:00:00.123456Z", "2026-11-21T12:00:05.123456Z")
    assert json.loads(row["tags"]) == {"env": 'a"b', "project": "fox, owl"}
    assert (row["n"], row["text_in"], row["image_out"]) == ("2", "228", "13342")
    assert (row["basis"], row["status"], row["cache"]) == ("usage", "delivered", "miss")


async def test_csv_follows_the_rfc() -> None:
    body = await joined(CsvFormat().write(streamed([full(model='a "b", c')])))

    header, line, end = body.split(b"\r\n")
    assert header == ",".join(COLUMNS).encode()
    assert b',"a ""b"", c",' in line
    assert end == b""


async def test_nothing_at_all_is_a_header() -> None:
    assert await joined(CsvFormat().write(streamed([]))) == (",".join(COLUMNS) + "\r\n").encode()
    assert (await joined(FocusFormat().write(streamed([])))).startswith(b"BilledCost,BillingAccountId,")


@pytest.mark.parametrize("formula", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "-req_1"])
async def test_what_a_spreadsheet_would_run_is_made_harmless(formula: str) -> None:
    (row,) = await rows(CsvFormat(), full(request_id=formula, model=formula))
    (charge,) = await rows(FocusFormat(), full(request_id=formula, model=formula))

    assert (row["request_id"], row["model"]) == (f"'{formula}", f"'{formula}")
    assert (charge["x_RequestId"], charge["ResourceName"]) == (f"'{formula}", f"'{formula}")


async def test_csv_goes_out_in_pieces() -> None:
    many = [full(hold_id=f"hold-{number}") for number in range(2 * ENTRIES_PER_CHUNK + 1)]

    pieces = [piece async for piece in CsvFormat().write(streamed(many))]

    assert [piece.count(b"\r\n") for piece in pieces] == [1, ENTRIES_PER_CHUNK, ENTRIES_PER_CHUNK, 1]
    assert len([piece async for piece in CsvFormat().write(streamed(many[:ENTRIES_PER_CHUNK]))]) == 2


@pytest.mark.parametrize(
    ("nano", "shown"),
    [(0, "0.000000000"), (1, "0.000000001"), (10**9, "1.000000000"), (10**15 + 1, "1000000.000000001")],
)
def test_money_has_nine_places(nano: int, shown: str) -> None:
    assert f"{to_dollars(nano):f}" == shown


async def test_parquet_says_the_same_in_types() -> None:
    body = await joined(ParquetFormat().write(streamed([full(), full(tier=None, tags={})])))

    table = parquet.read_table(io.BytesIO(body))
    first, second = table.to_pylist()
    assert table.schema.field("cost_usd").type == pa.decimal128(18, 9)
    assert table.schema.field("held_at").type == pa.timestamp("us", tz="UTC")
    assert table.column_names == list(COLUMNS)
    assert (first["cost_usd"], first["saved_usd"]) == (Decimal("0.413000001"), Decimal("0.000000001"))
    assert first["held_at"] == datetime(2026, 11, 21, 12, 0, 0, 123_456, tzinfo=UTC)
    assert dict(first["tags"]) == {"env": 'a"b', "project": "fox, owl"}
    assert (first["n"], first["image_out"], first["basis"], first["status"]) == (2, 13_342, "usage", "delivered")
    assert (second["tier"], second["tags"]) == (None, [])


async def test_parquet_of_nothing_can_be_read() -> None:
    body = await joined(ParquetFormat().write(streamed([])))

    assert parquet.read_table(io.BytesIO(body)).num_rows == 0


async def test_parquet_holds_one_group_in_memory() -> None:
    alive: list[int] = []

    async def counted() -> AsyncIterator[Entry]:
        for number in range(2500):
            if number % 250 == 0:
                alive.append(sum(isinstance(form, Entry) for form in gc.get_objects()))
            yield full(hold_id=f"hold-{number}", cost=number)

    body = await joined(ParquetFormat(group=1000).write(counted()))

    file = parquet.ParquetFile(io.BytesIO(body))
    assert [file.metadata.row_group(index).num_rows for index in range(file.num_row_groups)] == [1000, 1000, 500]
    assert sum(row["cost_usd"] for row in file.read().to_pylist()) == to_dollars(sum(range(2500)))
    assert max(alive) < 1000 + 250


async def test_focus_has_every_mandatory_column_and_marks_its_own() -> None:
    (row,) = await rows(FocusFormat(), full())

    assert set(FOCUS_COLUMNS) >= MANDATORY
    assert list(FOCUS_COLUMNS) == sorted(FOCUS_COLUMNS)
    assert all(name.startswith("x_") for name in GATEWAY_COLUMNS)
    assert list(row) == [*FOCUS_COLUMNS, *GATEWAY_COLUMNS]


async def test_focus_says_what_was_charged() -> None:
    (row,) = await rows(FocusFormat(), full(backend="openai", upstream_model="gpt-image-2", team="ads"))

    costs = ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost", "ListUnitPrice", "ContractedUnitPrice")
    assert {row[name] for name in costs} == {"0.413000001"}
    assert (row["BillingPeriodStart"], row["BillingPeriodEnd"]) == ("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z")
    assert (row["ChargePeriodStart"], row["ChargePeriodEnd"]) == ("2026-11-21T12:00:00Z", "2026-11-21T12:00:01Z")
    assert (row["ConsumedQuantity"], row["ConsumedUnit"]) == ("2.0", "Images")
    assert (row["PricingQuantity"], row["PricingUnit"]) == ("1.0", "Requests")
    assert (row["ProviderName"], row["SkuId"], row["SubAccountId"]) == ("openai", "openai/gpt-image-2", "ads")
    assert row["ChargeDescription"] == "generate, 2 images, painter, high, 1024x1024"
    assert (row["x_Tier"], row["x_RequestedTier"], row["x_TokensIn"]) == ("high", "auto", "1678")
    assert json.loads(row["Tags"]) == {"env": 'a"b', "project": "fox, owl"}


async def test_focus_says_one_image_of_one() -> None:
    (row,) = await rows(FocusFormat(), full(n=1, resolved_tier=None, size=None))

    assert row["ChargeDescription"] == "generate, 1 image, painter"


async def test_the_last_second_of_a_year_is_in_its_month() -> None:
    last = 1_798_761_599_999_999  # 2026-12-31T23:59:59.999999Z

    (row,) = await rows(FocusFormat(), full(held_at=last))

    assert (row["BillingPeriodStart"], row["BillingPeriodEnd"]) == ("2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z")
    assert (row["ChargePeriodStart"], row["ChargePeriodEnd"]) == ("2026-12-31T23:59:59Z", "2027-01-01T00:00:00Z")


async def test_focus_adds_up_to_what_the_vendors_are_owed() -> None:
    every = itertools.product(Basis, EntryStatus)
    entries = [
        full(hold_id=f"{basis}-{status}", basis=basis, status=status, cost=0 if basis is Basis.CACHE else 7)
        for basis, status in every
    ]

    charges = await rows(FocusFormat(), *entries)

    assert sum(Decimal(row["BilledCost"]) for row in charges) == to_dollars(sum(form.cost for form in entries))
    assert {row["x_CostBasis"] for row in charges} == {"usage", "table", "estimated", "unconfirmed"}
