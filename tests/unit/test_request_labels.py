"""Metric labels of requests: words of the settings, never a caller's."""

import pytest

from service.domain.image_spec import Size
from service.domain.request_labels import NO_LABELS, RequestLabels, build_labels, size_class
from tests.fakes.builders import TODAY, catalog, model, spec

CATALOG = catalog(model(aliases=("vendor/painter",)), model(id="plain", tiers=()))


@pytest.mark.parametrize(
    ("name", "tier", "built_labels"),
    [
        ("painter", "high", RequestLabels(model="painter", tier="high")),
        ("vendor/painter", None, RequestLabels(model="painter", tier="auto")),
        ("", None, RequestLabels(model="painter", tier="auto")),
        ("painter", "a caller's own word", RequestLabels(model="painter")),
        ("plain", None, RequestLabels(model="plain")),
        ("a caller's own word", "high", NO_LABELS),
    ],
)
def test_model_and_tier_are_the_catalogs(name: str, tier: str | None, built_labels: RequestLabels) -> None:
    assert build_labels(spec(model=name, tier=tier), CATALOG, TODAY) == built_labels


@pytest.mark.parametrize(
    ("size", "name"),
    [
        (None, "auto"),
        ("1x1", "1mp"),
        ("1024x1024", "1mp"),
        ("1024x1025", "2mp"),
        ("2048x2048", "4mp"),
        ("3840x2160", "8mp"),
        ("4096x4096", "over_8mp"),
        (str(Size(999_999, 999_999)), "over_8mp"),
    ],
)
def test_sizes_come_in_six_classes(size: str | None, name: str) -> None:
    assert size_class(size) == name
