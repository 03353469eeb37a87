"""The table of metrics is sound, and docs/metrics.md says what it says."""

from pathlib import Path

import pytest

from service.adapters.metrics.declared import ALL, Declared, Kind
from service.adapters.metrics.observer import FLIGHT_RESULTS
from service.adapters.metrics.prometheus_text import HistogramFamily, NumberFamily
from service.commands.metrics_reference import LABELS, document
from service.domain.ledger import Basis, CacheStatus
from service.domain.quota_limits import Measure
from service.domain.request_labels import SIZE_CLASSES, ApiOperation, Outcome

ROOT = Path(__file__).parents[2]


def test_the_table_is_sound() -> None:
    assert len({each.name for each in ALL}) == len(ALL)
    for each in ALL:
        assert each.name.startswith("gateway_")
        assert each.name.endswith("_total") == (each.kind is Kind.COUNTER)
        assert bool(each.buckets) == (each.kind is Kind.HISTOGRAM)
        assert [*each.buckets] == sorted(each.buckets)
        assert all(len(start) == len(each.labels) for start in each.initial_labels)


def test_the_docs_say_what_is_declared() -> None:
    assert (ROOT / "docs" / "metrics.md").read_text("utf-8") == document(), "run `make metrics`"


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("operation", {*ApiOperation} - {ApiOperation.HEALTH}),
        ("outcome", {*Outcome}),
        ("cache", {*CacheStatus} - {CacheStatus.UNKNOWN}),
        ("size_class", {*SIZE_CLASSES.values()}),
        ("limit", {*Measure}),
        ("basis", {*Basis} - {Basis.CACHE}),
        ("result", {*FLIGHT_RESULTS.values()}),
    ],
)
def test_the_docs_have_every_word(label: str, words: set[str]) -> None:
    assert [word for word in sorted(words) if word not in LABELS[label]] == []


def test_a_family_is_told_while_it_grows() -> None:
    """A scrape in another thread sees copies."""
    for family in (
        NumberFamily(declared("gateway_tokens_total")),
        HistogramFamily(declared("gateway_upstream_duration_seconds")),
    ):
        grow = family.add if isinstance(family, NumberFamily) else family.observe
        grow(("a", "b", "c"), 1)
        lines = family.lines()
        seen = [next(lines)]
        for at in range(100):
            grow((str(at), "b", "c"), 1)
        seen += lines
        assert {line.split('"')[1] for line in seen} == {"a"}
        assert len([*family.lines()]) == 101 * len(seen)


def declared(name: str) -> Declared:
    return next(each for each in ALL if each.name == name)
