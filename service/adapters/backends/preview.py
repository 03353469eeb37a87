"""Previews of a drawn picture: the coarser, the earlier.

Rule: a preview has the size and the format of the picture. It is made of the finished picture, so what can be drawn can
be previewed.
"""

import io

from PIL import Image

COARSE = 64  # how many times smaller the first of many previews is than the picture


def preview(picture: bytes, index: int) -> bytes:
    """The preview of that index, from 0, in the picture's own format."""
    with Image.open(io.BytesIO(picture)) as image:
        factor = max(2, COARSE >> (2 * index))
        small = image.resize((max(1, image.width // factor), max(1, image.height // factor)))
        file = io.BytesIO()
        small.resize(image.size, Image.Resampling.NEAREST).save(file, str(image.format))
    return file.getvalue()
