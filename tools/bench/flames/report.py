"""Result of a run in shares.json, and its section of docs/benchmarks.md. Pure but for the file.

Rule: the table is made from shares.json alone.
"""

import textwrap
from pathlib import Path

import msgspec

from tools.bench.flames.areas import AREAS
from tools.bench.report import NOTHING, WIDTH, table

BEGIN, END = "<!-- make flames writes from here", "<!-- make flames to here -->"
NOTE = "; edit tools/bench/flames/report.py instead -->"
FOLDER = "bench/flames"
SHOWN = ("kb1", "mb2")
TEXT = """{begin}

{about}

{shares}

{links}

{pictures}

{end}"""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One case: duration, number of requests, their cost, and per cent of the samples by area."""

    case: str
    slug: str
    seconds: float
    requests: int
    cpu_seconds: float
    samples: int
    shares: dict[str, float]


class Shares(msgspec.Struct, frozen=True, kw_only=True):
    """Result of a complete run. `rate` is the number of samples per second."""

    when: str
    machine: str
    load: str
    versions: dict[str, str]
    at_once: int
    rate: int
    cases: list[Seen]


def section(run: Shares) -> str:
    """Build the text between the markers, markers included."""
    return TEXT.format(
        begin=BEGIN + NOTE,
        end=END,
        about=_about(run),
        shares=_shares(run),
        links=_links(run),
        pictures="\n\n".join(f"![{one.case}]({FOLDER}/{one.slug}.svg)" for one in run.cases if one.slug in SHOWN),
    )


def _about(run: Shares) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in run.versions.items())
    where = f"{run.machine}, load {run.load} at the start"
    how = f"{run.at_once} at once, {run.rate} looks a second"
    return textwrap.fill(f"`make flames`, {run.when}: {where}; {how}. {versions}.", WIDTH)


def _links(run: Shares) -> str:
    links = ", ".join(f"[{one.case}]({FOLDER}/{one.slug}.svg)" for one in run.cases)
    text = f"As pictures: {links}. In numbers: [shares.json]({FOLDER}/shares.json)."
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def _shares(run: Shares) -> str:
    rows = [[area, *(_cell(one.shares[area]) for one in run.cases)] for area in AREAS]
    counts = ["samples", *(f"{one.samples:,}" for one in run.cases)]
    return table(["share of CPU, %", *(one.case for one in run.cases)], [*rows, counts])


def _cell(share: float) -> str:
    return f"{share:.1f}" if share else NOTHING


def write(run: Shares, file: Path) -> None:
    """Write the result as indented JSON."""
    file.write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=2) + b"\n")
