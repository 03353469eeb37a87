"""The headers x-gateway-tags and x-gateway-keepalive."""

import pytest

from service.api.http.request_headers import KEEPALIVE_HEADER, read_keepalive, read_tags
from service.domain.errors import InvalidValue
from service.domain.team_access import Team

ALLOWED = frozenset({"project", "env"})
WITHOUT, WITH = Team(name="search"), Team(name="ads", keepalive=True)


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


@pytest.mark.parametrize(
    ("value", "team", "expected"),
    [
        (None, WITHOUT, False),
        (None, WITH, True),
        ("true", WITHOUT, True),
        (" TRUE ", WITHOUT, True),
        ("false", WITH, False),
    ],
)
def test_the_request_decides_on_keepalive_before_its_team(value: str | None, team: Team, expected: bool) -> None:
    assert read_keepalive({} if value is None else {KEEPALIVE_HEADER: value}, team) is expected


@pytest.mark.parametrize("value", ["", "yes", "1"])
def test_a_keepalive_that_is_neither_true_nor_false_is_refused(value: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        read_keepalive({KEEPALIVE_HEADER: value}, WITHOUT)

    assert refused.value.param == KEEPALIVE_HEADER
