"""Where the parts of a picture stand."""

from typing import NamedTuple

import numpy as np
from PIL import Image

from headscope.render.colours import BACKGROUND, INK, RGB, Colour
from headscope.render.fonts import ink

MARGIN = 12  #: pixels around a picture


class Part(NamedTuple):
    """An image at a place; with a colour, it is a mask for that colour."""

    x: int
    y: int
    image: Image.Image
    colour: Colour | None


class Canvas:
    """Parts are placed first and drawn last, so that the picture is as large as they need."""

    def __init__(self) -> None:
        self.parts: list[Part] = []

    def put(self, x: int, y: int, image: Image.Image, colour: Colour | None = None) -> None:
        """Places the left upper corner of an image, or of a mask with its colour."""
        self.parts.append(Part(x, y, image, colour))

    def write(self, x: int, y: int, text: str, size: int) -> None:
        """Places a line of text."""
        self.put(x, y, ink(text, size), INK)

    def picture(self) -> RGB:
        """All parts on the background, (height, width, 3)."""
        width = max(p.x + p.image.width for p in self.parts) + MARGIN
        height = max(p.y + p.image.height for p in self.parts) + MARGIN
        page = Image.new("RGB", (width, height), BACKGROUND)
        for p in self.parts:
            if p.colour is None:
                page.paste(p.image, (p.x, p.y))
            else:
                page.paste(p.colour, (p.x, p.y, p.x + p.image.width, p.y + p.image.height), p.image)
        return np.asarray(page)
