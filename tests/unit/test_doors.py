"""The ports of a gateway: all of them or none, and no number twice."""

import socket

import pytest

from service.server import Listeners, PortError, listen_on_unused, open_listeners, port_number
from service.settings.listen_ports import ListenPort

HERE = "127.0.0.1"
NONE = ListenPort()


def closed(doors: Listeners) -> list[int]:
    """The numbers of ports that are given back."""
    found = [door for door in (doors.gateway, doors.metrics, doors.admin) if door]
    numbers = [port_number(door) for door in found]
    for door in found:
        door.close()
    return numbers


def free() -> int:
    with socket.create_server((HERE, 0)) as listener:
        return port_number(listener)


def test_one_port_is_the_least() -> None:
    doors = open_listeners(HERE, 0, NONE, NONE)
    assert (doors.metrics, doors.admin, doors.served_by_uvicorn) == (None, None, [doors.gateway])
    closed(doors)


def test_admin_is_served_with_the_gateway_and_metrics_are_not() -> None:
    doors = open_listeners(HERE, 0, ListenPort(port=0), ListenPort(host="::1", port=0))
    assert doors.served_by_uvicorn == [doors.gateway, doors.admin]
    assert doors.admin
    assert doors.admin.getsockname()[0] == "::1"
    assert len(set(closed(doors))) == 3


@pytest.mark.parametrize("twice", ["own and metrics", "own and admin", "metrics and admin"])
def test_a_number_that_is_wanted_twice_is_refused_also_at_another_address(twice: str) -> None:
    wanted, entry = free(), ListenPort(host="::1", port=free())
    same = ListenPort(host="::1", port=wanted)
    port, metrics, admin = {
        "own and metrics": (wanted, same, entry),
        "own and admin": (wanted, NONE, same),
        "metrics and admin": (free(), same, ListenPort(host=HERE, port=wanted)),
    }[twice]
    with pytest.raises(PortError, match=rf"Port {wanted} is wanted twice"):
        open_listeners(HERE, port, metrics, admin)
    closed(open_listeners(HERE, wanted, NONE, NONE))


def test_a_free_port_has_a_number_that_nobody_has() -> None:
    """The kernel gives numbers by address, so it may give one twice. Here it does so every other time."""
    taken = {number for number in range(65_536) if number // 2 % 2}
    for _ in range(16):
        with listen_on_unused("::1", 0, taken) as listener:
            assert port_number(listener) not in taken


def test_where_one_is_taken_none_is_kept() -> None:
    own = free()
    with socket.create_server((HERE, 0)) as taken, pytest.raises(PortError, match="Cannot listen on"):
        open_listeners(HERE, own, NONE, ListenPort(port=port_number(taken)))
    closed(open_listeners(HERE, own, NONE, NONE))
