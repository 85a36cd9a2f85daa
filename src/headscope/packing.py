"""Texts of ids as one string of text, so that a checkpoint can keep many and remain plain data.

Shapes: B texts, T positions.
"""

import base64
import zlib

import numpy as np
import torch
from torch import Tensor

LARGEST = 1 << 22  #: maximum number of ids


def pack(ids: Tensor) -> str:
    """Returns ids (B, T) as text."""
    shape = np.array(ids.shape, "<i4")
    data = np.concatenate((shape, ids.cpu().numpy().astype("<i4").ravel()))
    return base64.b85encode(zlib.compress(data.tobytes(), 9)).decode()


def unpack(text: str, vocab_size: int) -> Tensor:
    """Returns the ids (B, T) of a text from `pack`; raises ValueError if it is not one of ids below `vocab_size`."""
    try:
        inflate = zlib.decompressobj()
        data = inflate.decompress(base64.b85decode(text), 4 * LARGEST)
        numbers = np.frombuffer(data, "<i4")
        shape = numbers[:2].tolist()
        if not inflate.eof or min(shape) < 1:  # cut off, or too large
            raise ValueError
        ids = torch.from_numpy(numbers[2:].astype(np.int64)).view(shape)
    except (ValueError, RuntimeError, zlib.error):  # torch raises RuntimeError for a wrong shape
        raise ValueError("is damaged: it is not a list of texts") from None
    if not 0 <= int(ids.min()) <= int(ids.max()) < vocab_size:
        raise ValueError(f"has ids that are not in the vocabulary of {vocab_size:,} tokens")
    return ids
