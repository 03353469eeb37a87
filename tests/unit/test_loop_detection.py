"""The gateways that a request has passed, and loops."""

import pytest

from service.domain.errors import InvalidValue, LoopDetected
from service.domain.loop_detection import HEADER, MAX_HOPS, build_hops_header, parse_hops


@pytest.mark.parametrize(("text", "hops"), [(None, ()), ("", ()), ("a1", ("a1",)), ("a1, b2,c-3", ("a1", "b2", "c-3"))])
def test_the_gateways_before_are_read_in_order(text: str | None, hops: tuple[str, ...]) -> None:
    assert parse_hops(text, "own") == hops


def test_the_own_id_goes_last() -> None:
    assert build_hops_header((), "own") == {HEADER: "own"}
    assert build_hops_header(("a1", "b2"), "own") == {HEADER: "a1,b2,own"}


@pytest.mark.parametrize("text", ["own", "a1,own", "own,a1"])
def test_who_meets_itself_is_in_a_loop(text: str) -> None:
    with pytest.raises(LoopDetected, match="has passed this gateway before"):
        parse_hops(text, "own")


def test_a_row_of_gateways_has_an_end() -> None:
    row = [f"g{number}" for number in range(MAX_HOPS)]
    assert len(parse_hops(",".join(row), "own")) == MAX_HOPS
    with pytest.raises(LoopDetected, match=f"more than {MAX_HOPS} gateways"):
        parse_hops(",".join([*row, "one-more"]), "own")


@pytest.mark.parametrize("text", [",", "a1,,b2", "a b", "\xe9", "x" * 65, "<script>"])
def test_what_no_gateway_writes_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        parse_hops(text, "own")
    assert refused.value.param == HEADER
