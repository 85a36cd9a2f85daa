"""Maps and roles of all heads on one text at several steps of training: heads seen forming.

Shapes: L layers, H heads, T positions, P = T (T + 1) / 2 pairs of a query and a key that it may see.
"""

import gzip
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LONGEST = 64  #: tokens of the text; ten steps of a small model are then a few hundred kilobytes


@dataclass(frozen=True)
class Frame:
    """All heads at one step."""

    step: int
    maps: NDArray[np.uint8]  #: (L, H, P): the root of each weight over 255, as a byte; small weights matter too
    roles: list[list[str]]  #: L lists of H; empty text for none, a question mark behind an unconfirmed one


@dataclass(frozen=True)
class Film:
    """Frames over one text."""

    ids: list[int]  #: T tokens
    frames: list[Frame] = field(default_factory=list)

    def until(self, step: int) -> "Film":
        """Without the frames after a step."""
        return Film(self.ids, [f for f in self.frames if f.step <= step])

    def fits(self, layers: int, heads: int, vocab_size: int) -> bool:
        """Whether it can be of a model of this shape."""
        t = len(self.ids)
        shapes = {f.maps.shape for f in self.frames}
        return t > 0 and shapes == {(layers, heads, t * (t + 1) // 2)} and max(self.ids) < vocab_size

    def description(self) -> dict[str, Any]:
        """All but the maps, plain data."""
        shape = list(self.frames[0].maps.shape[:2]) if self.frames else [0, 0]
        frames = [{"step": f.step, "roles": f.roles} for f in self.frames]
        return {"ids": self.ids, "shape": [*shape, len(self.ids)], "frames": frames}

    def maps(self) -> bytes:
        """The maps of all frames, one after the other."""
        return b"".join(f.maps.tobytes() for f in self.frames)

    def to_bytes(self) -> bytes:
        """The whole film as a file: gzip of a line of JSON, then `maps`."""
        return gzip.compress(json.dumps(self.description()).encode() + b"\n" + self.maps(), mtime=0)

    @classmethod
    def from_bytes(cls, content: bytes) -> "Film":
        """The inverse of `to_bytes`.

        Raises:
            ValueError: the bytes are no film.
        """
        try:
            line, _, maps = gzip.decompress(content).partition(b"\n")
            described = json.loads(line)
            layers, heads, t = described["shape"]
            frames = described["frames"]
            whole = np.frombuffer(maps, np.uint8).reshape(len(frames), layers, heads, t * (t + 1) // 2)
            return cls(described["ids"], [Frame(f["step"], m, f["roles"]) for f, m in zip(frames, whole, strict=True)])
        except (OSError, EOFError, KeyError, TypeError, zlib.error) as e:
            raise ValueError("no film") from e


def frame(step: int, maps: Tensor, roles: Mapping[tuple[int, int], str]) -> Frame:
    """A frame of maps (L, 1, H, T, T), or (L, H, T, T), and of roles by (layer, head)."""
    t = maps.shape[-1]
    flat = maps.reshape(len(maps), -1, t, t)  # (L, H, T, T)
    i, j = torch.tril_indices(t, t)
    bytes_ = (flat[..., i, j].float().clamp(0, 1).sqrt() * 255).round().to(torch.uint8)  # (L, H, P)
    layers, heads = flat.shape[:2]
    names = [[roles.get((layer, head), "") for head in range(heads)] for layer in range(layers)]
    return Frame(step, bytes_.cpu().numpy(), names)


def of(ids: Sequence[int], maps: Tensor, roles: Mapping[tuple[int, int], str], step: int = 0) -> Film:
    """A film of one frame."""
    return Film(list(ids), [frame(step, maps, roles)])
