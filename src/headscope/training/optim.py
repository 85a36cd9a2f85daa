"""What updates the weights. One class per optimizer, built from a model, which knows what decays."""

from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Len, Lt
from torch import nn


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
        matrices = [p for p in model.parameters() if p.requires_grad and p.ndim >= 2]
        vectors = [p for p in model.parameters() if p.requires_grad and p.ndim < 2]
        groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        super().__init__(groups, lr=lr, betas=(betas[0], betas[1]), fused=fused)
