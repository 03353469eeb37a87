"""The FOCUS export before the validator of those who wrote FOCUS: every entry passes, and what is wrong is seen."""

import asyncio
import itertools
from collections.abc import Iterable
from pathlib import Path

from service.adapters.exports.focus import FocusFormat
from service.domain.ledger import Basis, Entry, EntryStatus
from tests.fakes.builders import entry
from tests.fakes.entries import joined, streamed
from tests.support.focus_results import checked, failed


def every_kind() -> Iterable[Entry]:
    """Of every basis and status, with and without what may be absent."""
    for number, (basis, status, spare) in enumerate(itertools.product(Basis, EntryStatus, (True, False))):
        more = {} if spare else {"tier": "low", "resolved_tier": "low", "size": "1024x1024", "tags": {"project": "fox"}}
        yield entry(hold_id=f"hold-{number}", basis=basis, status=status, cost=number, n=1 + number % 10, **more)


def written(file: Path, entries: Iterable[Entry]) -> Path:
    file.write_bytes(asyncio.run(joined(FocusFormat().write(streamed(entries)))))
    return file


def test_every_kind_of_entry_passes(tmp_path: Path) -> None:
    checks = checked(written(tmp_path / "focus.csv", every_kind()))

    assert len(checks) == 133
    assert set(checks.values()) == {"passed"}


def test_the_validator_sees_what_is_wrong(tmp_path: Path) -> None:
    file = written(tmp_path / "focus.csv", every_kind())
    text = file.read_text().replace(",USD,", ",Thaler,").replace("AI and Machine Learning", "Art")
    file.write_text(text.replace("ListCost,", "x_ListCost,"))

    assert failed(file) == ["BillingCurrency_IsCurrencyCode", "ListCost_Required", "ServiceCategory_Enum"]
