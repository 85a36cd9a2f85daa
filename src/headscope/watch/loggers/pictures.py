"""Pictures as files in the run's folder: `pictures/TAG_STEP.png`, which sort by step."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from headscope.files import write_atomically
from headscope.run.folder import RunFolder


def keep_picture(folder: RunFolder, tag: str, rgb: NDArray[np.uint8], step: int) -> bytes:
    """Writes a picture (height, width, 3) and returns its file; one that two loggers keep is written twice.

    Without waiting for the disk: thirty pictures at a time would wait for half a second.

    Raises:
        RunFailed: the disk is full.
    """
    png = io.BytesIO()
    Image.fromarray(rgb).save(png, "PNG")
    write_atomically(folder.pictures / f"{tag}_{step:06}.png", png.getvalue(), flush=False)
    return png.getvalue()


def drop_pictures(folder: RunFolder, step: int) -> None:
    """Removes what was drawn after a step; files of other names stay."""
    for path in folder.pictures.glob("**/*.png"):
        number = path.stem.rpartition("_")[2]
        if number.isdigit() and int(number) > step:
            path.unlink()
