"""What updates the weights. One class per optimizer, built from a model, which knows what decays."""

from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Len, Lt
from torch import nn


def by_decay(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """What is trained: matrices and embeddings, which decay, and the rest, which does not.

    A module lists in `no_weight_decay` its own matrices that must not decay, such as one bias per head and distance.
    """
    spared = {id(getattr(m, name, None)) for m in model.modules() for name in getattr(m, "no_weight_decay", ())}
    trained = [p for p in model.parameters() if p.requires_grad]
    decays = [p.ndim >= 2 and id(p) not in spared for p in trained]
    return [p for p, d in zip(trained, decays, strict=True) if d], [
        p for p, d in zip(trained, decays, strict=True) if not d
    ]


class AdamW(torch.optim.AdamW):
    """AdamW (Loshchilov & Hutter 2019); matrices and embeddings decay, norms and biases do not.

    Args:
        model: whose parameters.
        lr: the peak of the schedule.
        betas: of the running means of gradient and squared gradient.
        weight_decay: of the matrices, multiplied by the learning rate.
        fused: one kernel for all parameters.
    """

    def __init__(
        self,
        model: nn.Module,
        fused: bool = False,
        *,
        lr: Annotated[float, Gt(0)] = 1e-3,
        betas: Annotated[Sequence[Annotated[float, Ge(0), Lt(1)]], Len(2, 2)] = (0.9, 0.99),
        weight_decay: Annotated[float, Ge(0)] = 0.1,
    ) -> None:
        matrices, others = by_decay(model)
        groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
        super().__init__(groups, lr=lr, betas=(betas[0], betas[1]), fused=fused)
