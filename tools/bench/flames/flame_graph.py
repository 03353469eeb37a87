"""Flame graph as an SVG without script, style sheet or font, small enough to commit. Pure.

Rule: a box is as wide as its share of the samples and stands upon its caller. A tooltip has its full name. Boxes below
`LEAST` of all samples are left out. That bound rises until the file has at most `MOST_BYTES`, and the caption states
it. The typeface is monospaced, so a name is cut where its box ends.
"""

import textwrap
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tools.bench.flames.areas import AREAS, BODIES, GATEWAY_CODE, LOGS, LOOP, REDIS, REST, SERVER, SQL, VENDOR, shares
from tools.bench.flames.stacks import Frame, Stacks
from tools.bench.flames.tree import Box, boxes, grown

COLORS: Mapping[str, str] = {
    SERVER: "#9ec5e8",
    BODIES: "#f6c28b",
    GATEWAY_CODE: "#a8d8a0",
    REDIS: "#f0a6a0",
    VENDOR: "#cbb4e3",
    SQL: "#8fd3cf",
    LOGS: "#f2df8c",
    LOOP: "#c9cdd2",
    REST: "#e9ebed",
}
MAX_BYTES = 60_000
LEAST = 0.004
STEP = 1.25  # factor by which the bound rises while the file is too large
WIDTH, MARGIN, ROW, GAP = 1200.0, 10.0, 16.0, 0.4
LETTER, SIZE = 6.6, 11  # width of a monospaced letter, six tenths of its size
HEAD, LINE, KEYS = 20.0, 15.0, 5  # of the caption; keys in a row
PADDING, FEWEST_LETTERS = 3.0, 4
TYPE = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, 'Liberation Mono', monospace"
INK, PAPER = "#1f2328", "#ffffff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """Title and sentences below it. The smallest share of a box is appended."""

    title: str
    about: str


def flame_graph(stacks: Stacks, caption: Caption) -> str:
    """Return the text of the file. Raises `ValueError` without samples."""
    least, parts = LEAST, shares(stacks)
    root = grown(stacks)
    while len(text := _drawn(boxes(root, least), caption, least, parts).encode()) > MAX_BYTES:
        least *= STEP
    return text.decode()


def _drawn(shown: Sequence[Box], caption: Caption, least: float, parts: Mapping[str, float]) -> str:
    lines = textwrap.wrap(
        f"{caption.about} Boxes below {per_cent(least)} are left out.", int((WIDTH - 2 * MARGIN) / LETTER)
    )
    rows = -(-len(AREAS) // KEYS)
    top = MARGIN + HEAD + LINE * (len(lines) + rows) + ROW / 2
    height = top + ROW * (1 + max(box.depth for box in shown)) + MARGIN
    size = {"width": _number(WIDTH), "height": _number(height), "viewBox": f"0 0 {_number(WIDTH)} {_number(height)}"}
    drawing = ET.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", **size, "font-family": TYPE})
    drawing.set("font-size", str(SIZE))
    _add(drawing, "title", caption.title)
    _add(drawing, "rect", None, width="100%", height="100%", fill=PAPER)
    words = _add(drawing, "g", None, fill=INK)
    _add(words, "text", caption.title, x=MARGIN, y=MARGIN + SIZE + 2, **{"font-size": 14, "font-weight": "bold"})
    for place, line in enumerate(lines):
        _add(words, "text", line, x=MARGIN, y=MARGIN + HEAD + LINE * (place + 1) - PADDING)
    _keys(drawing, words, MARGIN + HEAD + LINE * len(lines), parts)
    _flames(drawing, words, shown, height - MARGIN - ROW)
    drawing.remove(words)
    drawing.append(words)  # in front of the boxes
    ET.indent(drawing, "")
    return ET.tostring(drawing, encoding="unicode") + "\n"


def _keys(drawing: ET.Element, words: ET.Element, top: float, parts: Mapping[str, float]) -> None:
    """Draw the legend: colour, label and share of each area."""
    for place, area in enumerate(AREAS):
        x = MARGIN + (WIDTH - 2 * MARGIN) / KEYS * (place % KEYS)
        y = top + LINE * (place // KEYS)
        _add(drawing, "rect", None, x=x, y=y + 2, width=SIZE, height=SIZE, fill=COLORS[area])
        _add(words, "text", f"{area} {per_cent(parts[area] / 100)}", x=x + SIZE + PADDING, y=y + SIZE)


def _flames(drawing: ET.Element, words: ET.Element, shown: Sequence[Box], bottom: float) -> None:
    whole = shown[0].count
    scale = (WIDTH - 2 * MARGIN) / whole
    groups = {area: _add(drawing, "g", None, fill=COLORS[area]) for area in _seen(shown)}
    for box in shown:
        x, y, width = MARGIN + box.left * scale, bottom - ROW * box.depth, box.count * scale
        shape = f"M{_number(x)} {_number(y)}h{_number(width - GAP)}v{_number(ROW - 1)}h-{_number(width - GAP)}z"
        _add(_add(groups[box.area], "path", None, d=shape), "title", f"{box.frame} {per_cent(box.count / whole)}")
        if name := fitting(box.frame, int((width - 2 * PADDING) / LETTER)):
            _add(words, "text", name, x=x + PADDING, y=y + SIZE)


def _seen(shown: Iterable[Box]) -> list[str]:
    there = {box.area for box in shown}
    return [area for area in AREAS if area in there]


def fitting(frame: Frame, letters: int) -> str:
    """Return the part of a name that fits: all, the function, its beginning, or nothing."""
    short = frame.function or frame.module
    if len(str(frame)) <= letters:
        return str(frame)
    if len(short) <= letters:
        return short
    return short[: letters - 1] + "…" if letters >= FEWEST_LETTERS else ""


def per_cent(share: float) -> str:
    """Format a share."""
    return f"{100 * share:.1f} %"


def _add(parent: ET.Element, name: str, text: str | None, **attributes: object) -> ET.Element:
    values = {key: _number(one) if isinstance(one, float) else str(one) for key, one in attributes.items()}
    child = ET.SubElement(parent, name, values)
    child.text = text
    return child


def _number(value: float) -> str:
    """Format a number to a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0")
