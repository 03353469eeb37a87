"""The rows as Markdown, and their place in the document.

Rule: all columns but the last are written from the rows, and a test compares them. The last column was measured on the
day of writing.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tools.faults.rig import Seen, Setup
from tools.faults.rows import FAULTS_OF_VENDORS, MEGABYTE, MORE, Comes

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


def document(found: Sequence[Seen]) -> str:
    """Return both tables, and the memory of the rows that are about it."""
    tables = [_table(beside, [each for each in found if each.setup.beside is beside]) for beside in HEADS]
    return "\n".join((*tables, _memory(found)))


def _table(beside: bool, found: Sequence[Seen]) -> str:
    lines = [_line(COLUMNS), "|" + "---|" * len(COLUMNS)]
    lines += [_line((*row(each.setup, each.comes), f"{each.seconds:.1f}")) for each in found]
    return "\n".join((HEADS[beside], "", *lines, ""))


def row(setup: Setup, comes: Comes) -> tuple[str, ...]:
    """Return the cells of a row that are not measured."""
    reply = f"{comes.status} {comes.code}" if comes.code else f"{comes.status}{SERVED.get(comes.served or 0, '')}"
    arrived = f"{comes.whole} and {comes.second}" if setup.beside else str(comes.whole)
    return (
        setup.fault.text,
        reply,
        comes.retry or "",
        comes.after or "",
        comes.took,
        str(comes.attempts),
        arrived,
        comes.booked,
        comes.breaker,
        comes.later,
        comes.then,
    )


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _memory(found: Sequence[Seen]) -> str:
    bounded = [each for each in found if each.setup.fault.most_bytes and not each.setup.beside]
    lines = [_line(("the vendor", "may grow the gateway by, MB", "grew it by, MB")), "|---|---|---|"]
    lines += [
        _line(
            (each.setup.fault.text, str((each.setup.fault.most_bytes or 0) // MEGABYTE), f"{each.grown / MEGABYTE:.0f}")
        )
        for each in bounded
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
    promised = [Seen(setup=setup, comes=setup.expected, seconds=0.0) for setup in setups]
    return without_figures(rewritten("", document(promised)))


def differences(found: Sequence[Seen]) -> list[str]:
    """Return the differences between outcomes and rows, in words."""
    return [
        f"{each.setup.name}: {told}"
        for each in found
        if not each.is_expected
        for told in (*_unlike(each), *_beyond(each))
    ]


def _unlike(seen: Seen) -> list[str]:
    came, said = asdict(seen.comes), asdict(seen.setup.expected)
    return [f"{name} is {came[name]!r}, not {said[name]!r}" for name in came if came[name] != said[name]]


def _beyond(seen: Seen) -> list[str]:
    return [f"took {seen.seconds:.1f} s and {seen.grown / MEGABYTE:.0f} MB"]
