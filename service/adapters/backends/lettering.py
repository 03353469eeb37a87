"""Words on a picture: fitted into a band along its lower edge, which hides whatever lies below.

Rule: the band takes the same share of every picture, so that the band of an edit covers that of the picture that is
edited, whatever the sizes are: cropped pictures keep their middle. The type is as large as the band allows; words that
do not fit in the smallest end in an ellipsis. The built-in font has few letters: painted text loses its accents and
shows boxes for other scripts, svg text stays as it is.
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
BAND_SHARE = 0.34  # of the height; an older band would show above one of more than half
PANEL = (14, 17, 28)
WORDS_COLOUR = (255, 255, 255)
CAPTION_COLOUR = (190, 200, 216)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lettering:
    """Lines of text on a band. All in pixels; `caption` is set smaller, below the words."""

    panel: Box
    pad: int
    words: tuple[str, ...]
    words_px: float
    caption: tuple[str, ...]
    caption_px: float


def band_of(region: Box) -> Box:
    """Where the words of a region go."""
    left, top, right, bottom = region
    return left, bottom - max(1, round(BAND_SHARE * (bottom - top))), right, bottom


def letter(prompt: str, caption: tuple[str, ...], band: Box) -> Lettering:
    """Fit words and caption into a band."""
    left, top, right, bottom = band
    width, height = right - left, bottom - top
    short = min(width, round(height / BAND_SHARE))
    pad = max(2, short // 28)
    caption_px = max(SMALLEST_FONT, 0.024 * short)
    small, across = typeface(caption_px), max(1, width - 2 * _indent(width, pad))
    captions = tuple(line for text in caption for line in _cut(_wrap(_words(text), small, across), small, across, 2))
    below = int(LEADING * len(captions) * caption_px) + pad // 2
    words_px, words = _fit(prompt, (across, height - 2 * pad - below), short)
    return Lettering(panel=band, pad=pad, words=words, words_px=words_px, caption=captions, caption_px=caption_px)


def _indent(width: int, pad: int) -> int:
    """How far from the edges words begin: a transparent background rounds the corners."""
    return max(pad, width // 14)


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
    """Put the words and the caption on their band."""
    canvas.paste(PANEL, lettering.panel)
    brush = ImageDraw.Draw(canvas)
    for x, y, px, line, colour in _lines(lettering):
        brush.text((x, y), _folded(line), colour, typeface(px), anchor="ls")


def _lines(lettering: Lettering) -> list[tuple[float, float, float, str, Colour]]:
    """Every line with its left end and base line, its size in pixels and its colour."""
    left, top, right, _ = lettering.panel
    x, y = left + _indent(right - left, lettering.pad), float(top + lettering.pad)
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
    """Band and lines as svg elements."""
    left, top, right, bottom = lettering.panel
    panel = f'<rect x="{left}" y="{top}" width="{right - left}" height="{bottom - top}" fill="rgb{PANEL}"/>'
    words = [
        f'<text x="{x:.0f}" y="{y:.0f}" font-size="{px:.1f}" fill="rgb{colour}">{_xml(line)}</text>'
        for x, y, px, line, colour in _lines(lettering)
    ]
    return [panel, '<g font-family="Aileron, Helvetica, Arial, sans-serif">', *words, "</g>"]


def _xml(text: str) -> str:
    """The text as XML takes it: escaped, and without the characters that no XML document may hold."""
    return escape("".join(mark for mark in text if mark.isprintable()))
