"""Optimizers. Each is built from a model and chooses which weights decay."""

from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Len, Lt
from torch import nn


def split_by_decay(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Returns the trained parameters in two lists: matrices and embeddings, which decay, and all others, which do not.

    A module's attribute `no_weight_decay` names its matrices that must not decay, such as a table of biases.
    """
    exempt = {id(getattr(m, name, None)) for m in model.modules() for name in getattr(m, "no_weight_decay", ())}
    trained = [(p, p.ndim >= 2 and id(p) not in exempt) for p in model.parameters() if p.requires_grad]
    return [p for p, decays in trained if decays], [p for p, decays in trained if not decays]


class AdamW(torch.optim.AdamW):
    """AdamW (Loshchilov & Hutter 2019); matrices and embeddings decay, norms and biases do not.

    Args:
        model: its parameters are trained.
        fused: update all parameters in one kernel.
        lr: the learning rate at the peak of the schedule.
        betas: decay rates of the running means of the gradient and its square.
        weight_decay: weight decay for matrices and embeddings; multiplied by the learning rate.
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
        matrices, others = split_by_decay(model)
        groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
        super().__init__(groups, lr=lr, betas=(betas[0], betas[1]), fused=fused)
