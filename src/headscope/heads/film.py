"""A film: the attention maps and roles of all heads on one text at several training steps, to see heads form.

Shapes: L layers, H heads, T positions, P = T (T + 1) / 2 pairs of a query and a visible key.
"""

import gzip
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LONGEST = 64  #: maximum tokens of the text; ten frames of a small model then take a few hundred kilobytes


@dataclass(frozen=True)
class Frame:
    """The maps and roles of all heads at one training step."""

    step: int
    #: (L, H, P): 255 times the square root of each weight; the square root keeps small weights visible
    maps: NDArray[np.uint8]
    roles: list[list[str]]  #: L lists of H role names, with ? after an unconfirmed role; "" for no role


@dataclass(frozen=True)
class Film:
    """Frames in order of their steps, all on the same text."""

    ids: list[int]  #: the T tokens of the text
    frames: list[Frame] = field(default_factory=list)

    def until(self, step: int) -> "Film":
        """Returns the film without the frames after a step."""
        return Film(self.ids, [f for f in self.frames if f.step <= step])

    def fits(self, layers: int, heads: int, vocab_size: int) -> bool:
        """Returns whether the film can come from a model of this shape."""
        t = len(self.ids)
        shapes = {f.maps.shape for f in self.frames}
        return t > 0 and shapes == {(layers, heads, t * (t + 1) // 2)} and max(self.ids) < vocab_size

    def description(self) -> dict[str, Any]:
        """Returns everything except the maps, as JSON-compatible data."""
        shape = list(self.frames[0].maps.shape[:2]) if self.frames else [0, 0]
        frames = [{"step": f.step, "roles": f.roles} for f in self.frames]
        return {"ids": self.ids, "shape": [*shape, len(self.ids)], "frames": frames}

    def maps(self) -> bytes:
        """Returns the maps of all frames, one frame after another."""
        return b"".join(f.maps.tobytes() for f in self.frames)

    def to_bytes(self) -> bytes:
        """Returns the content of a file: one line of JSON (`description`) and then `maps`, compressed by gzip."""
        return gzip.compress(json.dumps(self.description()).encode() + b"\n" + self.maps(), mtime=0)

    @classmethod
    def from_bytes(cls, content: bytes) -> "Film":
        """Reads the result of `to_bytes`. Raises ValueError if the bytes are not a film."""
        try:
            line, _, maps = gzip.decompress(content).partition(b"\n")
            described = json.loads(line)
            layers, heads, t = described["shape"]
            frames = described["frames"]
            stack = np.frombuffer(maps, np.uint8).reshape(len(frames), layers, heads, t * (t + 1) // 2)
            return cls(described["ids"], [Frame(f["step"], m, f["roles"]) for f, m in zip(frames, stack, strict=True)])
        except (OSError, EOFError, KeyError, TypeError, zlib.error) as e:
            raise ValueError("not a film") from e


def frame(step: int, maps: Tensor, roles: Mapping[tuple[int, int], str]) -> Frame:
    """Returns a frame from maps (L, 1, H, T, T) or (L, H, T, T) and the role of each (layer, head)."""
    t = maps.shape[-1]
    i, j = torch.tril_indices(t, t)
    weights = maps.reshape(len(maps), -1, t, t)[..., i, j]  # (L, H, P)
    layers, heads, _ = weights.shape
    names = [[roles.get((layer, head), "") for head in range(heads)] for layer in range(layers)]
    return Frame(step, (weights.float().clamp(0, 1).sqrt() * 255).round().to(torch.uint8).cpu().numpy(), names)
