"""Listeners of a gateway: all of them or none, and no number twice."""

import socket

import pytest

from service.server import Listeners, PortError, listen_on_unused, open_listeners, port_number
from service.settings.gateway_file import ListenPort

HERE = "127.0.0.1"
NONE = ListenPort()


def closed(listeners: Listeners) -> list[int]:
    """Close the listeners, and return the numbers of their ports."""
    opened = [listener for listener in (listeners.gateway, listeners.metrics, listeners.admin) if listener]
    numbers = [port_number(listener) for listener in opened]
    listeners.close()
    return numbers


def free() -> int:
    with socket.create_server((HERE, 0)) as listener:
        return port_number(listener)


def test_one_port_is_the_least() -> None:
    listeners = open_listeners(HERE, 0, NONE, NONE)
    assert (listeners.metrics, listeners.admin, listeners.served_by_uvicorn) == (None, None, [listeners.gateway])
    closed(listeners)


def test_admin_is_served_with_the_gateway_and_metrics_are_not() -> None:
    listeners = open_listeners(HERE, 0, ListenPort(port=0), ListenPort(host="::1", port=0))
    assert listeners.served_by_uvicorn == [listeners.gateway, listeners.admin]
    assert listeners.admin
    assert listeners.admin.getsockname()[0] == "::1"
    assert len(set(closed(listeners))) == 3


@pytest.mark.parametrize("twice", ["own and metrics", "own and admin", "metrics and admin"])
def test_a_number_that_is_configured_twice_is_refused_also_at_another_address(twice: str) -> None:
    number, entry = free(), ListenPort(host="::1", port=free())
    same = ListenPort(host="::1", port=number)
    port, metrics, admin = {
        "own and metrics": (number, same, entry),
        "own and admin": (number, NONE, same),
        "metrics and admin": (free(), same, ListenPort(host=HERE, port=number)),
    }[twice]
    with pytest.raises(PortError, match=rf"Port {number} is configured twice"):
        open_listeners(HERE, port, metrics, admin)
    closed(open_listeners(HERE, number, NONE, NONE))


def test_a_free_port_has_a_number_that_is_unused() -> None:
    """The kernel assigns numbers by address, so one may come twice. Here every other number is taken."""
    taken = {number for number in range(65_536) if number // 2 % 2}
    for _ in range(16):
        with listen_on_unused("::1", 0, taken) as listener:
            assert port_number(listener) not in taken


def test_where_one_is_taken_none_is_kept() -> None:
    own = free()
    with socket.create_server((HERE, 0)) as taken, pytest.raises(PortError, match="Cannot listen on"):
        open_listeners(HERE, own, NONE, ListenPort(port=port_number(taken)))
    closed(open_listeners(HERE, own, NONE, NONE))
