"""Words on a picture: fitted into a region, on a panel that keeps them readable.

Rule: the type is as large as the region allows; words that do not fit in the smallest end in an ellipsis. The built-in
font has few letters: painted text loses its accents and shows boxes for other scripts, svg text stays as it is.
"""

from dataclasses import dataclass
from html import escape
from typing import cast
from unicodedata import combining, normalize

from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
Box = tuple[int, int, int, int]

MOST_LETTERS = 4000
LONGEST_WORD = 40
FONT_SHARES = (0.085, 0.066, 0.05, 0.039, 0.03, 0.024)
SMALLEST_FONT = 8.0
NARROW = 0.35
LEADING = 1.25
ELLIPSIS = "…"
PANEL = (14, 17, 28)
PANEL_ALPHA = 165
WORDS_COLOUR = (255, 255, 255)
CAPTION_COLOUR = (190, 200, 216)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lettering:
    """Lines of text on a panel. All in pixels; `caption` is set smaller, below the words."""

    panel: Box
    pad: int
    words: tuple[str, ...]
    words_px: float
    caption: tuple[str, ...]
    caption_px: float


def letter(prompt: str, caption: tuple[str, ...], region: Box) -> Lettering:
    """Fit words and caption into the middle of a region."""
    left, top, right, bottom = region
    size = right - left, bottom - top
    short = min(size)
    pad, width = max(2, short // 28), max(1, int(0.8 * size[0]))
    room = (width - 2 * pad, int(0.5 * size[1]))
    words_px, words = _fit(prompt, room, short)
    caption_px = max(SMALLEST_FONT, 0.024 * short)
    small = typeface(caption_px)
    captions = tuple(line for text in caption for line in _cut(_wrap(_words(text), small, room[0]), small, room[0], 2))
    height = int(LEADING * (len(words) * words_px + len(captions) * caption_px)) + 2 * pad + pad // 2
    x, y = left + (size[0] - width) // 2, top + max(0, size[1] - height) // 2
    return Lettering(
        panel=(x, y, x + width, y + height),
        pad=pad,
        words=words,
        words_px=words_px,
        caption=captions,
        caption_px=caption_px,
    )


def typeface(px: float) -> ImageFont.FreeTypeFont:
    """The built-in font. Loaded anew each time, a tenth of a millisecond: a font may not be shared by threads."""
    return cast("ImageFont.FreeTypeFont", ImageFont.load_default(px))


def _fit(text: str, room: tuple[int, int], short: int) -> tuple[float, tuple[str, ...]]:
    """The largest type in which the text fits the room, and its lines; what never fits ends in an ellipsis."""
    words = _words(text)
    for share in FONT_SHARES:
        px = max(SMALLEST_FONT, share * short)
        most = max(1, int(room[1] / (LEADING * px)))
        if share != FONT_SHARES[-1] and len(text) * NARROW * px > most * room[0]:
            continue  # not even narrow letters would fit, so nothing needs measuring
        font = typeface(px)
        lines = _wrap(words, font, room[0])
        if len(lines) <= most and all(font.getlength(line) <= room[0] for line in lines):
            break
    return px, _cut(lines, font, room[0], most)


def _words(text: str) -> list[str]:
    """The text's words; endless ones in pieces, and no more of them than a picture could hold."""
    some = text if len(text) <= MOST_LETTERS else text[:MOST_LETTERS] + ELLIPSIS
    return [word[i : i + LONGEST_WORD] for word in some.split() for i in range(0, len(word), LONGEST_WORD)]


def _wrap(words: list[str], font: ImageFont.FreeTypeFont, width: float) -> list[str]:
    space, lines, used = font.getlength(" "), [""], 0.0
    for word in words:
        long = font.getlength(word)
        if lines[-1] and used + space + long > width:
            lines.append("")
        used = used + space + long if lines[-1] else long
        lines[-1] = f"{lines[-1]} {word}".lstrip()
    return lines


def _cut(lines: list[str], font: ImageFont.FreeTypeFont, width: float, most: int) -> tuple[str, ...]:
    if len(lines) <= most:
        return tuple(lines)
    last = lines[most - 1]
    while last and font.getlength(last + ELLIPSIS) > width:
        last = last[:-1]
    return (*lines[: most - 1], last + ELLIPSIS)


def write(canvas: Image.Image, lettering: Lettering) -> None:
    """Put the words and the caption on a dark, translucent panel: readable whatever lies below."""
    left, top, right, bottom = lettering.panel
    width, height = right - left, bottom - top
    shape = Image.new("L", (2 * width, 2 * height))
    corner = 2 * min(lettering.pad, height // 2)
    ImageDraw.Draw(shape).rounded_rectangle((0, 0, 2 * width - 1, 2 * height - 1), corner, PANEL_ALPHA)
    canvas.paste(PANEL, (left, top), shape.reduce(2))
    brush = ImageDraw.Draw(canvas)
    for x, y, px, line, colour in _lines(lettering):
        brush.text((x, y), _folded(line), colour, typeface(px), anchor="ls")


def _lines(lettering: Lettering) -> list[tuple[float, float, float, str, Colour]]:
    """Every line with its left end and base line, its size in pixels and its colour."""
    x, y = lettering.panel[0] + lettering.pad, float(lettering.panel[1] + lettering.pad)
    placed: list[tuple[float, float, float, str, Colour]] = []
    for px, lines, colour in (
        (lettering.words_px, lettering.words, WORDS_COLOUR),
        (lettering.caption_px, lettering.caption, CAPTION_COLOUR),
    ):
        for line in lines:
            placed.append((x, y + px, px, line, colour))
            y += LEADING * px
        y += lettering.pad / 2
    return placed


def _folded(line: str) -> str:
    """The line in letters that the built-in font has: accents dropped, the rest left to show as boxes."""
    return "".join(mark for mark in normalize("NFD", line) if not combining(mark))


def elements(lettering: Lettering) -> list[str]:
    """Panel and lines as svg elements."""
    left, top, right, bottom = lettering.panel
    panel = (
        f'<rect x="{left}" y="{top}" width="{right - left}" height="{bottom - top}" rx="{lettering.pad}" '
        f'fill="rgb{PANEL}" fill-opacity="{PANEL_ALPHA / 255:.2f}"/>'
    )
    words = [
        f'<text x="{x:.0f}" y="{y:.0f}" font-size="{px:.1f}" fill="rgb{colour}">{_xml(line)}</text>'
        for x, y, px, line, colour in _lines(lettering)
    ]
    return [panel, '<g font-family="Aileron, Helvetica, Arial, sans-serif">', *words, "</g>"]


def _xml(text: str) -> str:
    """The text as XML takes it: escaped, and without the characters that no XML document may hold."""
    return escape("".join(mark for mark in text if mark.isprintable()))
