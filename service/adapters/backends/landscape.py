"""The landscape behind the sandbox's words: sky, sun and hills, all derived from a digest.

Rule: a scene is a value in shares of the picture, painted in pixels or written as shapes; the same digest gives the
same scene. Pure; cannot fail.
"""

import colorsys
from dataclasses import dataclass
from math import pi, sin

from PIL import Image, ImageDraw

Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Disc:
    """A translucent circle. The centre is in shares of width and height, the radius in shares of the short edge."""

    x: float
    y: float
    radius: float
    colour: Colour
    alpha: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ridge:
    """A row of hills: two waves on a height. Shares of the picture's height; `pace` is waves per width."""

    height: float
    swing: float
    pace: float
    start: float
    colour: Colour

    def outline(self, size: tuple[int, int]) -> list[tuple[float, float]]:
        """The polygon, in pixels."""
        width, height = size
        steps = [i / 64 for i in range(65)]
        tops = [(x * width, height * self.top(x)) for x in steps]
        return [(0, height), *tops, (width, height)]

    def top(self, x: float) -> float:
        """Where the ridge is at a share of the width."""
        turn = 2 * pi * (x * self.pace + self.start)
        return self.height - self.swing * (sin(turn) + 0.4 * sin(2.3 * turn))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A landscape, back to front."""

    sky: tuple[Colour, Colour]
    discs: tuple[Disc, ...]
    ridges: tuple[Ridge, ...]


def compose(seed: bytes, phase: float = 0.0) -> Scene:
    """The landscape that 32 random bytes stand for; `phase`, 0 to 1, is how far its sun has gone round."""
    share = [byte / 255 for byte in seed]
    hue, drift, night = share[0], 0.07 + 0.2 * share[1], seed[2] % 3 == 0
    light = (0.24, 0.5) if night else (0.58, 0.86)
    sun = colour_of(hue + drift + 0.45, 0.8, 0.9)
    x = 0.2 + 0.6 * share[3] + 0.06 * sin(2 * pi * phase)
    y = 0.16 + 0.2 * share[4] - 0.05 * sin(2 * pi * phase + pi / 2)
    radius = 0.08 + 0.07 * share[5]
    glow = [Disc(x=x, y=y, radius=radius * k, colour=sun, alpha=a) for k, a in ((2.6, 40), (1.7, 70), (1, 235))]
    bubbles = [
        Disc(x=a, y=0.7 * b, radius=0.06 + 0.2 * c, colour=colour_of(hue + drift * c, 0.8, 0.8), alpha=48)
        for a, b, c in zip(share[6:10], share[10:14], share[14:18], strict=True)
    ]
    ridges = [
        Ridge(
            height=0.6 + 0.12 * row,
            swing=0.03 + 0.05 * share[18 + row],
            pace=0.6 + 1.3 * share[22 + row],
            start=share[26 + row],
            colour=colour_of(hue + drift * (1 - row / 2), (0.3 if night else 0.52) - 0.08 * row, 0.45),
        )
        for row in range(4)
    ]
    sky = (colour_of(hue, light[0], 0.65), colour_of(hue + drift, light[1], 0.75))
    return Scene(sky=sky, discs=(*bubbles, *glow), ridges=tuple(ridges))


def colour_of(hue: float, lightness: float, saturation: float) -> Colour:
    """RGB, 0 to 255 each, from shares; a hue beyond 1 goes round."""
    red, green, blue = colorsys.hls_to_rgb(hue % 1, lightness, saturation)
    return round(red * 255), round(green * 255), round(blue * 255)


def paint(scene: Scene, size: tuple[int, int]) -> Image.Image:
    """The landscape in pixels. It is drawn at half the size: enlarging is what smooths its edges."""
    half = (size[0] + 1) // 2, (size[1] + 1) // 2
    gradient = Image.new("RGB", (1, 2), scene.sky[0])
    gradient.putpixel((0, 1), scene.sky[1])
    column = gradient.resize((1, half[1]), Image.Resampling.BILINEAR, box=(0, 0.5, 1, 1.5))
    canvas = column.resize(half, Image.Resampling.NEAREST)
    brush = ImageDraw.Draw(canvas, "RGBA")
    for disc in scene.discs:
        brush.circle((disc.x * half[0], disc.y * half[1]), disc.radius * min(half), (*disc.colour, disc.alpha))
    for ridge in scene.ridges:
        brush.polygon(ridge.outline(half), fill=ridge.colour)
    return canvas.resize(size, Image.Resampling.BILINEAR)


def shapes(scene: Scene, size: tuple[int, int]) -> list[str]:
    """The landscape as svg elements."""
    width, height = size
    stops = "".join(f'<stop offset="{i}" stop-color="rgb{colour}"/>' for i, colour in enumerate(scene.sky))
    sky = f'<linearGradient id="sky" x2="0" y2="1">{stops}</linearGradient>'
    discs = [
        f'<circle cx="{disc.x * width:.0f}" cy="{disc.y * height:.0f}" r="{disc.radius * min(size):.0f}" '
        f'fill="rgb{disc.colour}" fill-opacity="{disc.alpha / 255:.2f}"/>'
        for disc in scene.discs
    ]
    ridges = []
    for ridge in scene.ridges:
        points = " ".join(f"{x:.0f},{y:.0f}" for x, y in ridge.outline(size))
        ridges.append(f'<polygon points="{points}" fill="rgb{ridge.colour}"/>')
    return [sky, '<rect width="100%" height="100%" fill="url(#sky)"/>', *discs, *ridges]
