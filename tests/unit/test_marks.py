"""What requests are counted under: words of the settings, never a caller's."""

import pytest

from service.domain.images import Size
from service.domain.marks import UNMARKED, Marks, marks_of, size_class
from tests.fakes.builders import TODAY, catalog, model, spec

CATALOG = catalog(model(aliases=("vendor/painter",)), model(id="plain", tiers=()))


@pytest.mark.parametrize(
    ("name", "tier", "marks"),
    [
        ("painter", "high", Marks(model="painter", tier="high")),
        ("vendor/painter", None, Marks(model="painter", tier="auto")),
        ("", None, Marks(model="painter", tier="auto")),
        ("painter", "a caller's own word", Marks(model="painter")),
        ("plain", None, Marks(model="plain")),
        ("a caller's own word", "high", UNMARKED),
    ],
)
def test_model_and_tier_are_the_catalogs(name: str, tier: str | None, marks: Marks) -> None:
    assert marks_of(spec(model=name, tier=tier), CATALOG, TODAY) == marks


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
