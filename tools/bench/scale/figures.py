"""Results of `make scale` in a file. Tables and docs/capacity.md are made from it alone.

Rule: units are milliseconds and megabytes (10^6 bytes), for one request unless stated. CPU is user and system time as
the kernel counts it. A section that was not measured is empty.
"""

from pathlib import Path

import msgspec


class Flight(msgspec.Struct, frozen=True, kw_only=True):
    """Calls that wait for a vendor, sent at an even pace. `results` is the Redis of the cache.

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
    """Lease renewal of all open holds of one team: CPU of server and gateway, and number of calls."""

    holds: int
    calls: int
    server: float
    cpu: float


class Crowd(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway with a number of teams, each with limits in requests, images and money.

    `start` is CPU seconds until ready. `first` is CPU milliseconds of a team's first request, which rebuilds its
    counters from the ledger. Background work is per second: `idle_cpu` and `idle_redis` in milliseconds, `scripts` and
    `commands` of Redis. `reload_cpu` is in seconds. `silence` is the longest wait for a health check meanwhile.
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
    """One operation on a ledger of a given size: wall time, and CPU of the database (SQLite: of this process)."""

    database: str
    entries: int
    what: str
    wall: list[float]
    cpu: float


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """Size of a ledger on disk, with indexes and daily sums."""

    database: str
    entries: int
    bytes: int


class Shared(msgspec.Struct, frozen=True, kw_only=True):
    """Gateways that share a cluster: CPU of all gateways and all nodes, and a budget for `budget` images."""

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
    """Results of a complete run. `spaces` are bytes of Redis by content. `apart` has the sections that were measured
    separately.
    """

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
    """Read the results of a run."""
    return msgspec.json.decode(file.read_bytes(), type=Scale)


def write(scale: Scale, file: Path) -> None:
    """Write the results in lines, rounded to their significant digits."""
    file.parent.mkdir(parents=True, exist_ok=True)
    plain = _rounded(msgspec.to_builtins(scale))
    file.write_bytes(msgspec.json.format(msgspec.json.encode(plain), indent=1) + b"\n")


def _rounded(value: object) -> object:
    match value:
        case float():
            return round(value, 4)
        case list():
            return [_rounded(item) for item in value]
        case dict():
            return {name: _rounded(item) for name, item in value.items()}
        case _:
            return value
