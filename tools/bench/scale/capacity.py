"""Resources of a site of a given size, computed from measurements and written to docs/capacity.md. Pure.

Rule: `Measured` has all values from a run, `needs` all formulas. A core or a server is planned to be used up to
`SHARE`. Rounding is upwards.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tools.bench.measure import figure
from tools.bench.memory import CACHED, ENDED, HOLD, WAITING
from tools.bench.report import END, table
from tools.bench.scale.figures import Scale
from tools.bench.scale.redis_bytes import TEAM

BEGIN = "<!-- make scale writes from here; edit tools/bench/scale/capacity.py instead -->"
RATES = (10, 100, 1000)  # images per second
WAITS = (30, 60)  # seconds of a vendor's call for one image
SHARE = 0.5  # used share of a core: twice the measured need
SPARE, LEAST = 1, 2  # pods
TEAMS = 1000
IMAGE, BASE64 = 2_000_000, 4 / 3
AT_ONCE = 1.25  # bytes of memory per byte of replies that arrive at the same moment (docs/benchmarks.md)
CACHE_SECONDS = OUTAGE_SECONDS = REMEMBERED_SECONDS = 3600
DAY = 86_400
WRITES_A_SECOND = 5  # of one pod: entries are collected for 0.2 s
PER_REPLICA = 200  # the chart's autoscaling.inFlight.perReplica
LIMIT = 2 << 30  # bytes, the chart's resources.limits.memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """CPU in milliseconds for one generated image of 2 MB, memory in bytes.

    `waiting` is a call that waits. `passing` is the memory of replies of 2 MB under way, per reply and second.
    """

    cpu: float
    redis: float
    sql: float
    results: float
    idle: float
    waiting: float
    passing: float
    hold: float
    ended: float
    on_its_way: float
    team: float
    cached: float
    row: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """Resources for a rate of images and a duration of each call. Cores are busy ones, without reserve."""

    rate: int
    wait: int
    cores: float
    pods: int
    in_flight: int
    calls: int
    sockets: int
    pod_usual: float
    pod_worst: float
    gigabits: float
    redis_cores: float
    primaries: int
    results_cores: float
    money: float
    outage: float
    cache: float
    sql_cores: float
    rows: int
    disk: float
    batches: int


def measured(scale: Scale) -> Measured:
    """Take the values from a run. Raises `LookupError` for an incomplete run."""
    small = [one for one in scale.flights if one.answer == "1 KB"]
    large = [one for one in scale.flights if one.answer == "2 MB"]
    least, most, largest = small[0], small[-1], large[-1]
    waiting = max(0.0, (most.peak - least.peak) * 1e6 / (most.in_flight - least.in_flight))
    above = (largest.peak - largest.idle) * 1e6 - largest.in_flight * waiting
    postgres = [one for one in scale.sizes if one.database == "PostgreSQL"]
    return Measured(
        cpu=largest.cpu,
        redis=largest.redis,
        sql=largest.sql,
        results=largest.results,
        idle=largest.idle * 1e6,
        waiting=waiting,
        passing=max(0.0, above * largest.seconds / largest.requests),
        hold=scale.spaces[HOLD],
        ended=scale.spaces[ENDED],
        on_its_way=scale.spaces[WAITING],
        team=scale.spaces[TEAM],
        cached=scale.spaces[CACHED],
        row=postgres[0].bytes / postgres[0].entries,
    )


def needs(run: Measured, rate: int, wait: int) -> Needs:
    """Apply the formulas of docs/capacity.md."""
    cores = rate * run.cpu / 1000
    pods = max(LEAST, math.ceil(cores / SHARE) + SPARE)
    in_flight = rate * wait
    calls = math.ceil(in_flight / pods)
    redis_cores = rate * run.redis / 1000
    lying = rate * REMEMBERED_SECONDS * run.ended
    return Needs(
        rate=rate,
        wait=wait,
        cores=cores,
        pods=pods,
        in_flight=in_flight,
        calls=calls,
        sockets=2 * calls,
        pod_usual=run.idle + calls * run.waiting + rate / pods * run.passing,
        pod_worst=worst(run, calls),
        gigabits=rate * IMAGE * BASE64 * 8 / 1e9,
        redis_cores=redis_cores,
        primaries=max(1, math.ceil(redis_cores / SHARE)),
        results_cores=rate * run.results / 1000,
        money=in_flight * run.hold + lying + TEAMS * run.team,
        outage=rate * OUTAGE_SECONDS * (run.on_its_way - run.ended),
        cache=rate * CACHE_SECONDS * run.cached,
        sql_cores=rate * run.sql / 1000,
        rows=rate * DAY,
        disk=rate * DAY * run.row,
        batches=min(rate, pods * WRITES_A_SECOND),
    )


def worst(run: Measured, calls: int) -> float:
    """Return bytes of a gateway whose calls all get their replies at the same moment."""
    return run.idle + calls * (run.waiting + AT_ONCE * IMAGE * BASE64)


def held(run: Measured) -> int:
    """Return the number of such calls that fit into the chart's memory limit."""
    return math.floor((LIMIT - run.idle) / (worst(run, 1) - run.idle))


def per_pod(run: Measured, wait: int) -> tuple[float, float]:
    """Return images per second of a pod that uses `SHARE` of its core, and its calls in flight."""
    rate = SHARE * 1000 / run.cpu
    return rate, rate * wait


MEASURED: Sequence[tuple[str, Callable[[Measured], str]]] = (
    ("gateway's CPU for an image of 2 MB, ms (`cpu`)", lambda one: figure(one.cpu)),
    ("Redis's CPU for it, ms (`redis`)", lambda one: figure(one.redis)),
    ("PostgreSQL's CPU for it, ms (`sql`)", lambda one: figure(one.sql)),
    ("CPU of the Redis of results for it, ms (`results`)", lambda one: figure(one.results)),
    ("idle gateway, MB (`idle`)", lambda one: figure(one.idle / 1e6)),
    ("a call that waits, KB of the gateway's (`waiting`)", lambda one: figure(one.waiting / 1e3)),
    ("answers on their way, MB for each image a second (`passing`)", lambda one: figure(one.passing / 1e6)),
    ("open hold, bytes of Redis (`hold`)", lambda one: figure(one.hold)),
    ("ended hold, for an hour, bytes of Redis (`ended`)", lambda one: figure(one.ended)),
    ("ended hold, its entry in the outbox, bytes of Redis (`on_its_way`)", lambda one: figure(one.on_its_way)),
    ("team, bytes of Redis (`team`)", lambda one: figure(one.team)),
    ("cached image of 2 MB, bytes of Redis (`cached`)", lambda one: figure(one.cached)),
    ("entry, bytes of PostgreSQL (`row`)", lambda one: figure(one.row)),
)
NEEDED: Sequence[tuple[str, Callable[[Needs], str]]] = (
    ("busy cores of gateways", lambda one: figure(one.cores)),
    ("**pods** (one core each, one spare)", lambda one: f"**{one.pods}**"),
    ("calls in flight", lambda one: f"{one.in_flight:,}"),
    ("of one pod", lambda one: f"{one.calls:,}"),
    ("sockets of one pod", lambda one: f"{one.sockets:,}"),
    ("memory of one pod, GB: usual", lambda one: figure(one.pod_usual / 1e9)),
    ("memory of one pod, GB: all answers at once", lambda one: figure(one.pod_worst / 1e9)),
    ("in, and as much out, Gbit/s", lambda one: figure(one.gigabits)),
    ("busy cores of Redis, money", lambda one: figure(one.redis_cores)),
    ("**primaries**, money", lambda one: f"**{one.primaries}**"),
    ("Redis, money, GB", lambda one: figure(one.money / 1e9)),
    ("and an hour without PostgreSQL, GB", lambda one: figure(one.outage / 1e9)),
    ("busy cores of Redis, results", lambda one: figure(one.results_cores)),
    ("Redis, every image cached for an hour, GB", lambda one: f"{one.cache / 1e9:,.0f}"),
    ("busy cores of PostgreSQL", lambda one: figure(one.sql_cores)),
    ("entries a day, millions", lambda one: figure(one.rows / 1e6)),
    ("disk a day, GB", lambda one: figure(one.disk / 1e9)),
    ("transactions that write, a second", lambda one: str(one.batches)),
)


def tables(scale: Scale) -> str:
    """Build the text between the markers of docs/capacity.md, markers included."""
    run = measured(scale)
    known = table(["measured", "figure"], [[name, render(run)] for name, render in MEASURED])
    sites = [needs(run, rate, wait) for rate in RATES for wait in WAITS]
    head = ["computed", *(f"{one.rate}/s, {one.wait} s" for one in sites)]
    computed = table(head, [[name, *(render(one) for one in sites)] for name, render in NEEDED])
    full = [[str(wait), *map(figure, per_pod(run, wait)), _reached(run, wait)] for wait in WAITS]
    filled = table(
        ["a call takes, s", "images a second", "calls in flight", f"core used at {PER_REPLICA} in flight"], full
    )
    when = f"Measured {scale.when} on {scale.machine}, load {scale.load} at the start."
    memory = (
        f"{PER_REPLICA} calls whose answers come at the same moment take {figure(worst(run, PER_REPLICA) / 1e9)} GB; "
        f"the chart's limit of 2 GiB holds {held(run)} of them."
    )
    full_pod = f"A pod that uses half of its core:\n\n{filled}"
    return f"{BEGIN}\n\n{when}\n\n{known}\n\n{computed}\n\n{full_pod}\n\n{memory}\n\n{END}"


def _reached(run: Measured, wait: int) -> str:
    return f"{PER_REPLICA / wait * run.cpu / 10:.0f} %"
