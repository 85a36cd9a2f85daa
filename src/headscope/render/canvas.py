"""Composes pictures from images, lines of text, and matrices with labelled rows and columns."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from headscope.render.colours import BACKGROUND, INK, RGB, Colour
from headscope.render.fonts import line_height, text_mask

MARGIN = 12  #: pixels around a picture
SMALL, NORMAL, LARGE = 11, 13, 16  #: font sizes in pixels; LARGE is for titles
SMALLEST_CELL = line_height(SMALL)  #: minimum side of a cell in pixels, which fits a line of SMALL text
GAP = 3  #: pixels between a label and its cell


class Part(NamedTuple):
    """An image and the position of its upper left corner. If `colour` is given, the image is a mask for this colour."""

    x: int
    y: int
    image: Image.Image
    colour: Colour | None


class Canvas:
    """Collects parts and draws them at the end, when the size of the picture is known."""

    def __init__(self) -> None:
        self.parts: list[Part] = []

    def put(self, x: int, y: int, image: Image.Image, colour: Colour | None = None) -> None:
        """Adds an image, or a mask for `colour` if that is given, with the upper left corner at (x, y)."""
        self.parts.append(Part(x, y, image, colour))

    def write(self, x: int, y: int, text: str, size: int) -> None:
        """Adds a line of text with its upper left corner at (x, y)."""
        self.put(x, y, text_mask(text, size), INK)

    def picture(self) -> RGB:
        """Draws all parts on the background and returns the picture, (height, width, 3)."""
        width = max(p.x + p.image.width for p in self.parts) + MARGIN
        height = max(p.y + p.image.height for p in self.parts) + MARGIN
        page = Image.new("RGB", (width, height), BACKGROUND)
        for p in self.parts:
            if p.colour is None:
                page.paste(p.image, (p.x, p.y))
            else:
                page.paste(p.colour, (p.x, p.y, p.x + p.image.width, p.y + p.image.height), p.image)
        return np.asarray(page)


class Axes:
    """R + C labels around a matrix (R, C). The label of a column is rotated if it is wider than the column.

    `cell` is the width and height of a cell in pixels, at least SMALLEST_CELL each. The row labels take `left` pixels
    to the left of the matrix, and the column labels take `top` pixels above it.
    """

    def __init__(self, rows: Sequence[str], columns: Sequence[str], cell: tuple[int, int]) -> None:
        self.cell = cell
        size = NORMAL if min(cell) >= line_height(NORMAL) else SMALL
        self.rows = [text_mask(label, size) for label in rows]
        masks = [text_mask(label, size) for label in columns]
        room = max(SMALLEST_CELL, cell[0] - 2)  # words need a gap of 2 pixels; single characters fit in a smallest cell
        self.columns = [m if m.width <= room else m.transpose(Image.Transpose.ROTATE_90) for m in masks]
        self.left = max(label.width for label in self.rows) + GAP
        self.top = max(label.height for label in self.columns) + GAP

    def put(self, canvas: Canvas, x: int, y: int, colours: RGB) -> None:
        """Adds the labels and the matrix of colours (R, C, 3). The upper left corner of both together is at (x, y)."""
        width, height = self.cell
        x, y = x + self.left, y + self.top
        for i, label in enumerate(self.rows):
            canvas.put(x - GAP - label.width, y + i * height + (height - label.height) // 2, label, INK)
        for j, label in enumerate(self.columns):
            canvas.put(x + j * width + (width - label.width) // 2, y - GAP - label.height, label, INK)
        cells = Image.fromarray(colours)
        canvas.put(x, y, cells.resize((cells.width * width, cells.height * height), Image.Resampling.NEAREST))
