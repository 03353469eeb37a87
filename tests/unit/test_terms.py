"""What a caller says about sharing."""

import pytest

from service.domain.errors import InvalidValue
from service.domain.terms import Terms, read_terms


@pytest.mark.parametrize(
    ("header", "terms"),
    [
        (None, Terms()),
        ("", Terms()),
        ("public, max-stale=5, immutable", Terms()),
        ("no-store", Terms(share=False)),
        ("No-Cache", Terms(max_age=0)),
        ("max-age=60", Terms(max_age=60)),
        (' max-age = "60" , no-transform', Terms(max_age=60)),
        ("only-if-cached", Terms(only=True)),
        ("only-if-cached, max-age=5", Terms(only=True, max_age=5)),
    ],
)
def test_cache_control_is_read(header: str | None, terms: Terms) -> None:
    assert read_terms(header, None) == terms


@pytest.mark.parametrize(
    ("header", "variant", "param"),
    [
        ("max-age", None, "cache-control"),
        ("max-age=-1", None, "cache-control"),
        ("max-age=1.5", None, "cache-control"),
        ("max-age=99999999999", None, "cache-control"),
        ("max-age=²", None, "cache-control"),
        ("no-store, only-if-cached", None, "cache-control"),
        (None, "", "x-gateway-variant"),
        (None, "-1", "x-gateway-variant"),
        (None, "two", "x-gateway-variant"),
        (None, "1000001", "x-gateway-variant"),
    ],
)
def test_what_cannot_be_understood_is_refused(header: str | None, variant: str | None, param: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        read_terms(header, variant)
    assert refused.value.param == param


def test_a_variant_is_a_number() -> None:
    assert read_terms(None, " 7 ").variant == 7
