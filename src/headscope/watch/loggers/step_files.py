"""Files in a run's folder that are named after a tag and a step: `TAG_STEP.png` and `TAG_STEP.txt`."""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from headscope.files import write_atomically


def step_file(folder: Path, tag: str, step: int, suffix: str) -> Path:
    """Returns the path of a file. The names of a tag sort by step."""
    return folder / f"{tag}_{step:06}{suffix}"


def write_picture(folder: Path, tag: str, rgb: NDArray[np.uint8], step: int) -> bytes:
    """Writes a picture (height, width, 3) as PNG and returns the content of the file.

    Does not wait for the disk, because waiting takes half a second for thirty pictures.

    Raises:
        RunFailed: the disk is full.
    """
    png = io.BytesIO()
    Image.fromarray(rgb).save(png, "PNG")
    write_atomically(step_file(folder, tag, step, ".png"), png.getvalue(), flush=False)
    return png.getvalue()


def remove_later(folder: Path, step: int, suffix: str) -> None:
    """Removes the files of later steps; files with other names stay."""
    for path in folder.rglob(f"*{suffix}"):
        number = path.stem.rpartition("_")[2]
        if number.isdigit() and int(number) > step:
            path.unlink()
