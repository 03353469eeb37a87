"""Who wants an answer to begin before it is known."""

import pytest

from service.api.keepalive import HEADER, read_keepalive
from service.domain.errors import InvalidValue
from service.domain.team_access import Team

QUIET, ALIVE = Team(name="search"), Team(name="ads", keepalive=True)


@pytest.mark.parametrize(
    ("said", "team", "wanted"),
    [
        (None, QUIET, False),
        (None, ALIVE, True),
        ("true", QUIET, True),
        (" TRUE ", QUIET, True),
        ("false", ALIVE, False),
    ],
)
def test_the_request_decides_then_its_team(said: str | None, team: Team, wanted: bool) -> None:
    assert read_keepalive({} if said is None else {HEADER: said}, team) is wanted


@pytest.mark.parametrize("said", ["", "yes", "1"])
def test_what_is_neither_true_nor_false_is_refused(said: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        read_keepalive({HEADER: said}, QUIET)
    assert refused.value.param == HEADER
