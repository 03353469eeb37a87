"""The rows as Markdown, and their place in the document.

Rule: all columns but the last are written from the rows, and a test compares them. The last column was measured on the
day of writing.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tools.faults.rig import Observation, Setup
from tools.faults.rows import FAULTS_OF_VENDORS, MEGABYTE, MORE, Outcome

DOCUMENT = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- faults -->\n", "<!-- /faults -->\n"
HEADS = {False: "### A vendor alone", True: "### Beside a healthy backend"}
COLUMNS = (
    "the vendor",
    "caller gets",
    "`x-should-retry`",
    "`retry-after`",
    "when",
    "attempts",
    "arrived",
    "booked",
    "breaker",
    f"{MORE} more: breaker",
    "last reply",
    "took, s",
)
SERVED = {1: " from it", 2: " from the second"}


def document(observations: Sequence[Observation]) -> str:
    """Return both tables, and the memory of the rows that are about it."""
    tables = [_table(beside, [seen for seen in observations if seen.setup.beside is beside]) for beside in HEADS]
    return "\n".join((*tables, _memory(observations)))


def _table(beside: bool, observations: Sequence[Observation]) -> str:
    lines = [_line(COLUMNS), "|" + "---|" * len(COLUMNS)]
    lines += [_line((*row(seen.setup, seen.outcome), f"{seen.seconds:.1f}")) for seen in observations]
    return "\n".join((HEADS[beside], "", *lines, ""))


def row(setup: Setup, outcome: Outcome) -> tuple[str, ...]:
    """Return the cells of a row that are not measured."""
    reply = (
        f"{outcome.status} {outcome.code}" if outcome.code else f"{outcome.status}{SERVED.get(outcome.served or 0, '')}"
    )
    arrived = f"{outcome.whole} and {outcome.second}" if setup.beside else str(outcome.whole)
    return (
        setup.fault.text,
        reply,
        outcome.retry or "",
        outcome.after or "",
        outcome.took,
        str(outcome.attempts),
        arrived,
        outcome.booked,
        outcome.breaker,
        outcome.later,
        outcome.then,
    )


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _memory(observations: Sequence[Observation]) -> str:
    bounded = [seen for seen in observations if seen.setup.fault.max_bytes and not seen.setup.beside]
    lines = [_line(("the vendor", "may grow the gateway by, MB", "grew it by, MB")), "|---|---|---|"]
    lines += [
        _line(
            (seen.setup.fault.text, str((seen.setup.fault.max_bytes or 0) // MEGABYTE), f"{seen.grown / MEGABYTE:.0f}")
        )
        for seen in bounded
    ]
    return "\n".join(("### Memory", "", *lines, ""))


def rewritten(text: str, tables: str) -> str:
    """Return the document with new tables."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{tables}{END}{after}"


def without_figures(text: str) -> list[str]:
    """Return the tables of a document without their last column."""
    between = text.partition(BEGIN)[2].partition(END)[0]
    return [line.rpartition(" | ")[0] if line.startswith("|") else line for line in between.splitlines()]


def expected_lines() -> list[str]:
    """Return the tables that follow from the rows, without their last column."""
    setups = [Setup(fault=fault, beside=beside) for fault in FAULTS_OF_VENDORS for beside in (False, True)]
    promised = [Observation(setup=setup, outcome=setup.expected, seconds=0.0) for setup in setups]
    return without_figures(rewritten("", document(promised)))


def differences(observations: Sequence[Observation]) -> list[str]:
    """Return the differences between outcomes and rows, in words."""
    return [
        f"{seen.setup.name}: {difference}"
        for seen in observations
        if not seen.is_expected
        for difference in (*_unlike(seen), *_beyond(seen))
    ]


def _unlike(seen: Observation) -> list[str]:
    real, expected = asdict(seen.outcome), asdict(seen.setup.expected)
    return [f"{name} is {real[name]!r}, not {expected[name]!r}" for name in real if real[name] != expected[name]]


def _beyond(seen: Observation) -> list[str]:
    return [f"took {seen.seconds:.1f} s and {seen.grown / MEGABYTE:.0f} MB"]
