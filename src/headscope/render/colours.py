"""Maps numbers to colours.

Shapes: Tq positions of queries, Tk of keys.
"""

import numpy as np
from numpy.typing import NDArray

RGB = NDArray[np.uint8]
Colour = tuple[int, int, int]

BACKGROUND = (246, 246, 244)
INK = (40, 40, 40)
WHITE = (255, 255, 255)
#: Colours of the weights 0 to 1, in equal steps of lightness. Large weights are dark, even when printed in greyscale.
RAMP = np.array([(255, 255, 255), (201, 220, 239), (124, 174, 215), (48, 112, 178), (8, 40, 96)], dtype=float)
#: Colours of signed values from -1 to 1.
DIVERGING = np.array([(178, 58, 18), (238, 170, 130), (255, 255, 255), (136, 178, 220), (24, 78, 150)], dtype=float)


def colours(values: NDArray[np.float64], ramp: NDArray[np.float64] = RAMP) -> RGB:
    """Returns the colours (..., 3) of values (...) on a ramp from 0 to 1; values outside of this range are clipped."""
    ramp_position = np.clip(values, 0, 1) * (len(ramp) - 1)
    low = np.minimum(ramp_position.astype(int), len(ramp) - 2)
    part = (ramp_position - low)[..., None]
    rgb: RGB = np.rint(ramp[low] * (1 - part) + ramp[low + 1] * part).astype(np.uint8)
    return rgb


def attention_colours(a: NDArray[np.float64]) -> RGB:
    """Returns the colours (..., Tq, Tk, 3) of attention weights (..., Tq, Tk), by the square root of the weight.

    The square root keeps small weights visible next to an attention sink. Masked cells, where the key comes after the
    query, have the background's colour.
    """
    rgb = colours(np.sqrt(a))
    t_q, t_k = a.shape[-2:]
    rgb[..., np.arange(t_k)[None] > np.arange(t_q)[:, None] + t_k - t_q, :] = BACKGROUND
    return rgb
