"""Tables of the section "Scale" of docs/benchmarks.md.

Rule: pure, equal figures give equal text. A figure that was not measured is a dash.
"""

import textwrap
from collections.abc import Callable, Iterable, Sequence

from tools.bench.measure import figure
from tools.bench.report import END, NOTHING, WIDTH, table
from tools.bench.scale.figures import Crowd, Flight, Renewal, Scale, Shared, Step

BEGIN = "<!-- make scale writes from here; edit tools/bench/scale/report.py instead -->"
MEGABYTE, GIGABYTE = 1e6, 1e9
STATEMENT_SECONDS = 10  # the gateway's timeout of a query

Column = tuple[str, Callable[..., str]]

FLIGHTS: Sequence[Column] = (
    ("answer", lambda one: one.answer),
    ("calls in flight", lambda one: str(one.in_flight)),
    ("requests a second", lambda one: figure(one.requests / one.seconds)),
    ("failed", lambda one: str(one.failed)),
    ("gateway, CPU ms", lambda one: figure(one.cpu)),
    ("Redis, CPU ms", lambda one: figure(one.redis)),
    ("PostgreSQL, CPU ms", lambda one: figure(one.sql)),
    ("Redis of results, CPU ms", lambda one: figure(one.results)),
    ("peak, MB", lambda one: figure(one.peak)),
    ("above idle, KB a call", lambda one: figure((one.peak - one.idle) * 1000 / one.in_flight)),
)
RENEWALS: Sequence[Column] = (
    ("open holds of one team", lambda one: str(one.holds)),
    ("calls", lambda one: str(one.calls)),
    ("Redis in all, ms", lambda one: figure(one.server)),
    ("Redis for one call, ms", lambda one: figure(one.server / one.calls)),
    ("gateway in all, CPU ms", lambda one: figure(one.cpu)),
    ("gateway for one hold, CPU µs", lambda one: figure(one.cpu * 1000 / one.holds)),
)
CROWDS: Sequence[Column] = (
    ("teams", lambda one: str(one.teams)),
    ("requests a second", lambda one: figure(one.per_second)),
    ("failed", lambda one: str(one.failed)),
    ("gateway, CPU ms", lambda one: figure(one.cpu)),
    ("of which its own", lambda one: figure(own(one))),
    ("Redis, CPU ms", lambda one: figure(one.redis)),
    ("a team's first: gateway", lambda one: figure(one.first)),
    ("a team's first: Redis", lambda one: figure(one.first_redis)),
)
IDLE: Sequence[Column] = (
    ("teams", lambda one: str(one.teams)),
    ("gateway, CPU ms a second", lambda one: figure(one.idle_cpu)),
    ("Redis, CPU ms a second", lambda one: figure(one.idle_redis)),
    ("scripts a second", lambda one: figure(one.scripts)),
    ("commands a second", lambda one: figure(one.commands)),
)
SETTINGS: Sequence[Column] = (
    ("teams", lambda one: str(one.teams)),
    ("start, CPU s", lambda one: figure(one.start)),
    ("idle, MB", lambda one: figure(one.fresh)),
    ("afterwards, MB", lambda one: figure(one.resident)),
    ("reading again, CPU s", lambda one: figure(one.reload_cpu)),
    ("longest without an answer, s", lambda one: figure(one.silence)),
    ("/metrics, MB", lambda one: figure(one.page_bytes / MEGABYTE)),
    ("/metrics, CPU ms", lambda one: figure(one.page_cpu)),
)
SHARED: Sequence[Column] = (
    ("gateways", lambda one: str(one.gateways)),
    ("requests a second", lambda one: figure(one.requests / one.seconds)),
    ("failed", lambda one: str(one.failed)),
    ("gateways, CPU ms", lambda one: figure(one.cpu)),
    ("six nodes, CPU ms", lambda one: figure(one.redis)),
    ("PostgreSQL, CPU ms", lambda one: figure(one.sql)),
    ("asked for", lambda one: str(one.asked)),
    ("the budget pays", lambda one: str(one.budget)),
    ("served", lambda one: str(one.admitted)),
)
PAGE = """{begin}

{about}

### Calls in flight

{flights}

A replica renews the leases of all its open holds every 20 s, a hundred in a call:

{renewals}

### Teams

For one request, spread over all teams; *its own* is without what goes on by itself. A team's first request
makes its counters from the books.

{crowds}

Background work of the leader without requests (a sweep and a reading of budgets every 5 s):

{idle}

Settings and metrics; *without an answer* is what a look at `/health/live` had to wait while they were read again:

{settings}

### The ledger

Milliseconds, fastest to slowest; in brackets the CPU of the database. A gateway gives up after {statement} s.

{steps}

{sizes}

### Gateways that share a Redis Cluster

{shared}

### Memory of Redis

{spaces}

{end}"""


def own(one: Crowd) -> float:
    """Return milliseconds of a request, without its share of background work."""
    return one.cpu - one.idle_cpu / one.per_second


def rows(columns: Sequence[Column], records: Iterable[Flight | Renewal | Crowd | Shared]) -> str:
    """Build a table with one line per record."""
    return table([name for name, _ in columns], [[render(one) for _, render in columns] for one in records])


def summary(scale: Scale) -> str:
    """Build the text between the markers, markers included."""
    about = f"`make scale`, {scale.when}: {scale.machine}, load {scale.load} at the start, {scale.minutes:.0f} minutes."
    about += "".join(f" By itself: {name}, {when}." for name, when in scale.apart.items())
    versions = ", ".join(f"{name} {version}" for name, version in scale.versions.items())
    return PAGE.format(
        begin=BEGIN,
        end=END,
        about=textwrap.fill(f"{about} {versions}. Raw data in [bench/scale.json](bench/scale.json).", WIDTH),
        flights=rows(FLIGHTS, scale.flights),
        renewals=rows(RENEWALS, scale.renewals),
        crowds=rows(CROWDS, scale.crowds),
        idle=rows(IDLE, scale.crowds),
        settings=rows(SETTINGS, scale.crowds),
        statement=STATEMENT_SECONDS,
        steps=steps(scale),
        sizes=sizes(scale),
        shared=rows(SHARED, scale.shared),
        spaces=table(["what", "bytes"], [[name, f"{size:,.0f}"] for name, size in scale.spaces.items()]),
    )


def steps(scale: Scale) -> str:
    """Build a table with one column per ledger."""
    ledgers = list(dict.fromkeys((one.database, one.entries) for one in scale.steps))
    by_column = {(one.what, one.database, one.entries): one for one in scale.steps}
    whats = dict.fromkeys(one.what for one in scale.steps)
    lines = [[what, *(_step(by_column.get((what, *ledger))) for ledger in ledgers)] for what in whats]
    return table(["", *(f"{database}, {_many(entries)}" for database, entries in ledgers)], lines)


def _step(step: Step | None) -> str:
    if step is None:
        return NOTHING
    return f"{figure(min(step.wall))} to {figure(max(step.wall))} ({figure(step.cpu)})"


def sizes(scale: Scale) -> str:
    """Build the table of sizes on disk."""
    lines = [
        [one.database, _many(one.entries), figure(one.bytes / GIGABYTE), figure(one.bytes / one.entries)]
        for one in scale.sizes
    ]
    return table(["", "entries", "on disk, GB", "bytes an entry"], lines)


def _many(count: int) -> str:
    return f"{count:,}"


def placed(page: str, text: str, begin: str = BEGIN) -> str:
    """Put the text between the markers of a page. Raises `ValueError` for a page without them."""
    start = page.index(begin.partition(";")[0])
    end = page.index(END, start) + len(END)
    return page[:start] + text + page[end:]
