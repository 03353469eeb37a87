"""The header x-gateway-tags."""

import pytest

from service.api.http.request_headers import read_tags
from service.domain.errors import InvalidValue

ALLOWED = frozenset({"project", "env"})


@pytest.mark.parametrize(
    ("header", "tags"),
    [
        (None, {}),
        ("", {}),
        (" , ", {}),
        ("project=search", {"project": "search"}),
        (" project = a/b:c@d_e.f-g , env=prod,", {"project": "a/b:c@d_e.f-g", "env": "prod"}),
    ],
)
def test_tags_are_read(header: str | None, tags: dict[str, str]) -> None:
    assert read_tags(header, ALLOWED) == tags


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("team=x", "Tag 'team' is not known here; allowed are env, project."),
        ("project", "Tag 'project' needs a value"),
        ("project=", "Tag 'project' needs a value"),
        ("project=a b", "Tag 'project' needs a value"),
        ("project=" + "x" * 65, "Tag 'project' needs a value"),
        ("project==x", "Tag 'project' needs a value"),
        ("env=a,env=b", "Tag 'env' is given twice."),
        ("x" * 500 + "=1", "Tag '" + "x" * 40 + "' is not known"),
    ],
)
def test_a_wrong_tag_is_refused(header: str, reason: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        read_tags(header, ALLOWED)
    assert refused.value.param == "x-gateway-tags"
    assert refused.value.message.startswith(reason)


def test_where_no_tags_are_allowed_none_are_taken() -> None:
    with pytest.raises(InvalidValue, match="allowed are none"):
        read_tags("project=x", frozenset())
