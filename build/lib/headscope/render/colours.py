"""Numbers to colours.

Shapes: Tq positions of queries, Tk of keys.
"""

import numpy as np
from numpy.typing import NDArray

RGB = NDArray[np.uint8]
Colour = tuple[int, int, int]

BACKGROUND = (246, 246, 244)
INK = (40, 40, 40)
#: Weight 0 to weight 1, equal steps of lightness: dark is much, and it prints in grey.
RAMP = np.array([(255, 255, 255), (201, 220, 239), (124, 174, 215), (48, 112, 178), (8, 40, 96)], dtype=float)
#: -1 to 1, for values with a sign.
DIVERGING = np.array([(178, 58, 18), (238, 170, 130), (255, 255, 255), (136, 178, 220), (24, 78, 150)], dtype=float)


def colours(values: NDArray[np.float64], ramp: NDArray[np.float64] = RAMP) -> RGB:
    """Values in [0, 1], any shape (...), to colours (..., 3) along a ramp."""
    place = np.clip(values, 0, 1) * (len(ramp) - 1)
    low = np.minimum(place.astype(int), len(ramp) - 2)
    part = (place - low)[..., None]
    rgb: RGB = np.rint(ramp[low] * (1 - part) + ramp[low + 1] * part).astype(np.uint8)
    return rgb


def attention_colours(a: NDArray[np.float64]) -> RGB:
    """Weights (..., Tq, Tk) to colours (..., Tq, Tk, 3) on a fixed scale, the square root of the weight.

    The root keeps a sink from hiding the other weights. Positions behind the causal mask have the background's colour.
    """
    rgb = colours(np.sqrt(a))
    t_q, t_k = a.shape[-2:]
    rgb[..., np.arange(t_k)[None] > np.arange(t_q)[:, None] + t_k - t_q, :] = BACKGROUND
    return rgb
