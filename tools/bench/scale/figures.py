"""What `make scale` measures, as it is kept; tables and docs/capacity.md are made of nothing else.

Rule: milliseconds and megabytes (10^6 bytes), for one request where nothing else is said. CPU is user and system time
as the kernel counted it. A section that was not asked for is empty.
"""

from pathlib import Path

import msgspec


class Flight(msgspec.Struct, frozen=True, kw_only=True):
    """Calls that wait for a vendor, asked at an even pace. `results` is the Redis of what is kept.

    `idle` and `peak` are resident memory of the gateway.
    """

    answer: str
    in_flight: int
    requests: int
    failed: int
    seconds: float
    cpu: float
    redis: float
    sql: float
    results: float
    idle: float
    peak: float


class Renewal(msgspec.Struct, frozen=True, kw_only=True):
    """New leases for all open holds of one team: the server's and the gateway's CPU in all, and in how many calls."""

    holds: int
    calls: int
    server: float
    cpu: float


class Crowd(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway with so many teams, each with limits in requests, pictures and money.

    `start` is CPU seconds until it is ready, `first` CPU milliseconds of a team's first request (its counters are made
    from the books). What goes on by itself is for a second: `idle_cpu` and `idle_redis` milliseconds, `scripts` and
    `commands` of the store. `reload_cpu` are seconds, `silence` the longest in which health was not told meanwhile.
    """

    teams: int
    failed: int
    per_second: float
    start: float
    fresh: float
    resident: float
    first: float
    first_redis: float
    cpu: float
    redis: float
    idle_cpu: float
    idle_redis: float
    scripts: float
    commands: float
    reload_cpu: float
    silence: float
    page_bytes: int
    page_cpu: float


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One thing done with a ledger of so many entries: wall and CPU of the database (SQLite: of this process)."""

    database: str
    entries: int
    what: str
    wall: list[float]
    cpu: float


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """What a ledger takes on disk, indexes and daily sums included."""

    database: str
    entries: int
    bytes: int


class Shared(msgspec.Struct, frozen=True, kw_only=True):
    """Gateways that share a cluster: CPU of all of them and of all nodes; a budget for `budget` pictures."""

    gateways: int
    requests: int
    failed: int
    seconds: float
    cpu: float
    redis: float
    sql: float
    budget: int
    asked: int
    admitted: int


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run. `spaces` are bytes of a Redis, by what takes them; `apart` says what was measured by itself."""

    when: str
    machine: str
    load: str
    versions: dict[str, str]
    minutes: float = 0
    apart: dict[str, str] = {}
    flights: list[Flight] = []
    renewals: list[Renewal] = []
    crowds: list[Crowd] = []
    steps: list[Step] = []
    sizes: list[Size] = []
    shared: list[Shared] = []
    spaces: dict[str, float] = {}


def read(file: Path) -> Scale:
    """What a run has written."""
    return msgspec.json.decode(file.read_bytes(), type=Scale)


def write(scale: Scale, file: Path) -> None:
    """In lines, rounded to what can be known."""
    file.parent.mkdir(parents=True, exist_ok=True)
    plain = _rounded(msgspec.to_builtins(scale))
    file.write_bytes(msgspec.json.format(msgspec.json.encode(plain), indent=1) + b"\n")


def _rounded(value: object) -> object:
    match value:
        case float():
            return round(value, 4)
        case list():
            return [_rounded(each) for each in value]
        case dict():
            return {name: _rounded(each) for name, each in value.items()}
        case _:
            return value
