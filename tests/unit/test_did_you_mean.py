"""Names that are close to an unknown one."""

import pytest

from service.domain.did_you_mean import did_you_mean

KNOWN = ("search", "search-eu", "ads", "Design")


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("serch", " Did you mean 'search' or 'search-eu'?"),
        ("adz", " Did you mean 'ads'?"),
        ("DESIGN", " Did you mean 'Design'?"),
        ("warehouse", ""),
        ("", ""),
        ("x" * 100_000, ""),
    ],
)
def test_close_names_are_named(name: str, suggestion: str) -> None:
    assert did_you_mean(name, KNOWN) == suggestion
