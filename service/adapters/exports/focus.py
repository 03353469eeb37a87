"""Entries as a dataset of FOCUS 1.2, the FinOps Open Cost and Usage Specification, in CSV.

Rule: an entry that a vendor has billed, or may have billed, is one charge. Cache hits are no charges and are left out,
so the sum of BilledCost is the vendors' bill. The vendor is provider, publisher and invoice issuer, under its backend's
name in `gateway.yaml`. The team is the sub-account. The cost of a call is known, the cost of one token is not. So the
pricing unit is the request, and its unit price is the cost. There are no prices with discounts: list, contracted,
effective and billed cost are one number. A null is an empty field, times are whole seconds, and fields without a column
of FOCUS follow under `x_`.

Fails with: `LedgerUnavailable` of the entries, which ends the file after a complete line.
"""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from decimal import Decimal

from service.adapters.exports.csv import Columns, Value, csv_chunks, tags_json, to_dollars
from service.domain.ledger import Basis, Entry
from service.domain.time_ranges import from_micros, month_range
from service.usecases.ports.exports import ExportFormat


def _no_value(_: Entry) -> Value:
    """Return None for a column without a value here: regions, commitments, invoices."""
    return None


def _cost(entry: Entry) -> Value:
    return to_dollars(entry.cost)


def _format_micros(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def _begin(entry: Entry) -> datetime:
    return from_micros(entry.held_at).replace(microsecond=0)


def _sku(entry: Entry) -> str:
    return f"{entry.backend}/{entry.upstream_model}"


def _description(entry: Entry) -> str:
    number = "1 image" if entry.n == 1 else f"{entry.n} images"
    return ", ".join(part for part in (entry.operation, number, entry.model, entry.resolved_tier, entry.size) if part)


FOCUS_COLUMNS: Columns = {
    "BilledCost": _cost,
    "BillingAccountId": lambda entry: entry.backend,
    "BillingAccountName": lambda entry: entry.backend,
    "BillingCurrency": lambda _: "USD",
    "BillingPeriodEnd": lambda entry: _format_micros(month_range(_begin(entry))[1]),
    "BillingPeriodStart": lambda entry: _format_micros(month_range(_begin(entry))[0]),
    "ChargeCategory": lambda _: "Usage",
    "ChargeClass": _no_value,
    "ChargeDescription": _description,
    "ChargeFrequency": lambda _: "Usage-Based",
    "ChargePeriodEnd": lambda entry: _format_micros(_begin(entry) + timedelta(seconds=1)),
    "ChargePeriodStart": lambda entry: _format_micros(_begin(entry)),
    "CommitmentDiscountCategory": _no_value,
    "CommitmentDiscountId": _no_value,
    "CommitmentDiscountName": _no_value,
    "CommitmentDiscountStatus": _no_value,
    "CommitmentDiscountType": _no_value,
    "ConsumedQuantity": lambda entry: Decimal(f"{entry.n}.0"),
    "ConsumedUnit": lambda _: "Images",
    "ContractedCost": _cost,
    "ContractedUnitPrice": _cost,
    "EffectiveCost": _cost,
    "InvoiceId": _no_value,
    "InvoiceIssuerName": lambda entry: entry.backend,
    "ListCost": _cost,
    "ListUnitPrice": _cost,
    "PricingCategory": lambda _: "Standard",
    "PricingQuantity": lambda _: Decimal("1.0"),
    "PricingUnit": lambda _: "Requests",
    "ProviderName": lambda entry: entry.backend,
    "PublisherName": lambda entry: entry.backend,
    "RegionId": _no_value,
    "RegionName": _no_value,
    "ResourceId": _sku,
    "ResourceName": lambda entry: entry.model,
    "ResourceType": lambda _: "Model",
    "ServiceCategory": lambda _: "AI and Machine Learning",
    "ServiceName": lambda _: "Image Generation",
    "ServiceSubcategory": lambda _: "Generative AI",
    "SkuId": _sku,
    "SkuMeter": lambda _: "Images",
    "SkuPriceDetails": _no_value,
    "SkuPriceId": _sku,
    "SubAccountId": lambda entry: entry.team,
    "SubAccountName": lambda entry: entry.team,
    "Tags": tags_json,
}
"""In alphabetical order."""

GATEWAY_COLUMNS: Columns = {
    "x_CostBasis": lambda entry: entry.basis.value,
    "x_HoldId": lambda entry: entry.hold_id,
    "x_Key": lambda entry: entry.key,
    "x_Model": lambda entry: entry.model,
    "x_Operation": lambda entry: entry.operation,
    "x_PriceVersion": lambda entry: entry.price_version,
    "x_RequestId": lambda entry: entry.request_id,
    "x_RequestedTier": lambda entry: entry.tier,
    "x_Size": lambda entry: entry.size,
    "x_Status": lambda entry: entry.status.value,
    "x_Team": lambda entry: entry.team,
    "x_Tier": lambda entry: entry.resolved_tier,
    "x_TokensIn": lambda entry: entry.text_in + entry.image_in,
    "x_TokensOut": lambda entry: entry.text_out + entry.image_out,
}


class FocusFormat(ExportFormat):
    """Entries as charges."""

    media_type = "text/csv; header=present"
    extension = "csv"

    def write(self, entries: AsyncIterator[Entry]) -> AsyncIterator[bytes]:
        return csv_chunks(_charges(entries), {**FOCUS_COLUMNS, **GATEWAY_COLUMNS})


async def _charges(entries: AsyncIterator[Entry]) -> AsyncIterator[Entry]:
    async for entry in entries:
        if entry.basis is not Basis.CACHE:
            yield entry
