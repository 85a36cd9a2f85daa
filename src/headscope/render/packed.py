"""Arrays inside a document: a description that is JSON, and beside it bytes that a browser unpacks by itself."""

import base64
import gzip
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Packed:
    """Takes the arrays out of nested dicts and lists; each is laid down once, in 16 bits a number where that is exact.

    In `description` an array is `{"tensor": offset in bytes, "shape": [...], "type": "float16" | "float32"}`.

    Args:
        tree: dicts, lists, text, numbers, None, and arrays of numbers.
    """

    def __init__(self, tree: Any) -> None:
        self._content = bytearray()
        self._known: dict[bytes, int] = {}
        self.description = self._without_arrays(tree)

    def _without_arrays(self, part: Any) -> Any:
        if isinstance(part, dict):
            return {key: self._without_arrays(value) for key, value in part.items()}
        if isinstance(part, list):
            return [self._without_arrays(value) for value in part]
        return self._laid_down(part) if isinstance(part, np.ndarray) else part

    def _laid_down(self, array: NDArray[Any]) -> dict[str, Any]:
        with np.errstate(over="ignore"):
            short = array.astype("<f2")
        exact = np.array_equal(short.astype(array.dtype), array)
        content = (short if exact else array.astype("<f4")).tobytes()
        at = self._known.setdefault(content, len(self._content))
        if at == len(self._content):
            self._content += content
        return {"tensor": at, "shape": list(array.shape), "type": "float16" if exact else "float32"}

    def text(self) -> str:
        """The bytes of all arrays, in gzip, in base64."""
        return packed(bytes(self._content))


def packed(content: bytes) -> str:
    """Bytes as text for a document: gzip in base64, the same for the same bytes."""
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()
