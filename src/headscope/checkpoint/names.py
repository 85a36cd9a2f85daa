"""Names of our modules in other programs."""

from collections.abc import Mapping, Sequence

from torch import Tensor

OUTER = ("embedding", "norm", "head", "position.vectors")  #: our modules outside the blocks; the last is for `Learned`
INNER = ("norm1", "attention.qkv", "attention.out", "norm2", "feedforward.up", "feedforward.down")  #: inside a block


def module_names(outer: Sequence[str], blocks: str, inner: Sequence[str], n_layers: int) -> dict[str, str]:
    """Returns the name in another program of each of our modules.

    Args:
        outer: its names of our OUTER modules, the last of which may be left out.
        blocks: its prefix of the modules in a block, before the number of the block.
        inner: its names of our INNER modules.
        n_layers: the number of blocks.
    """
    names = dict(zip(OUTER, outer, strict=False))
    for block in range(n_layers):
        names |= {f"blocks.{block}.{ours}": f"{blocks}{block}.{name}" for ours, name in zip(INNER, inner, strict=True)}
    return names


def rename(weights: Mapping[str, Tensor], modules: Mapping[str, str]) -> dict[str, Tensor]:
    """Returns weights with their modules renamed; modules without a new name keep the old one."""
    renamed = {}
    for name, weight in weights.items():
        module, _, kind = name.rpartition(".")
        renamed[f"{modules.get(module, module)}.{kind}"] = weight
    return renamed
