"""A matrix of coloured cells with a label at every row and column."""

from collections.abc import Sequence

from PIL import Image

from headscope.render.canvas import Canvas
from headscope.render.colours import INK, RGB
from headscope.render.fonts import ink, line_height

SMALL, NORMAL, LARGE = 11, 13, 16  #: font sizes; titles are large
NARROWEST = line_height(SMALL)  #: the least side of a cell, so that a line of text fits
GAP = 3  #: pixels between a label and its cell


class Axes:
    """Labels around a matrix (R, C). A column's label is turned if the column is narrower than it.

    Args:
        rows: R labels.
        columns: C labels.
        cell: width and height of a cell in pixels, at least NARROWEST each.

    Attributes:
        left: pixels left of the matrix, which the labels of the rows need.
        top: pixels above the matrix, which the labels of the columns need.
    """

    def __init__(self, rows: Sequence[str], columns: Sequence[str], cell: tuple[int, int]) -> None:
        self.cell = cell
        size = NORMAL if min(cell) >= line_height(NORMAL) else SMALL
        self.down = [ink(x, size) for x in rows]
        across = [ink(x, size) for x in columns]
        room = max(NARROWEST, cell[0] - 2)  # a gap between words; single characters need none
        self.across = [x if x.width <= room else x.transpose(Image.Transpose.ROTATE_90) for x in across]
        self.left = max(x.width for x in self.down) + GAP
        self.top = max(x.height for x in self.across) + GAP

    def put(self, canvas: Canvas, x: int, y: int, colours: RGB) -> None:
        """Places the labels, and the matrix as colours (R, C, 3) to their right and below them."""
        width, height = self.cell
        x, y = x + self.left, y + self.top
        for i, name in enumerate(self.down):
            canvas.put(x - GAP - name.width, y + i * height + (height - name.height) // 2, name, INK)
        for j, name in enumerate(self.across):
            canvas.put(x + j * width + (width - name.width) // 2, y - GAP - name.height, name, INK)
        cells = Image.fromarray(colours)
        canvas.put(x, y, cells.resize((cells.width * width, cells.height * height), Image.Resampling.NEAREST))
