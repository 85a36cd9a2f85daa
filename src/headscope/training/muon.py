"""Muon for the hidden matrices and AdamW for the rest, as one optimizer."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, cast

import torch
from annotated_types import Ge, Gt, Len, Lt
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.adamw import adamw

from headscope.model.position import Position
from headscope.training.hardware import bf16_is_fast
from headscope.training.optim import split_by_decay

#: Coefficients (a, b, c) of the iteration x ← a x + b x³ + c x⁵ on the singular values (Jordan et al. 2024).
QUINTIC = (3.4445, -4.7750, 2.0315)


def orthogonalise(x: Tensor, iterations: int) -> Tensor:
    """Brings all singular values near one and keeps the singular vectors, by Newton–Schulz iterations.

    One iteration is (a + b G + c G²) X with G = X Xᵀ (Jordan et al. 2024). With S = c G + b/2 it equals
    (S²/c + a - b²/4c) X, which takes three matrix products and two updates of diagonals. Five iterations bring every
    singular value into about [0.7, 1.2]. `x` holds N matrices (N, R, K), R ≤ K; its dtype is used throughout.
    """
    a, b, c = QUINTIC
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    s = p = x.new_empty(len(x), x.shape[1], x.shape[1])  # (N, R, R), uninitialised; beta=0 ignores its values
    for _ in range(iterations):
        s = torch.baddbmm(s, x, x.mT, beta=0, alpha=c)
        s.diagonal(dim1=-2, dim2=-1).add_(b / 2)
        p = torch.baddbmm(p, s, s, beta=0, alpha=1 / c)
        p.diagonal(dim1=-2, dim2=-1).add_(a - b * b / (4 * c))
        x = torch.bmm(p, x)
    return x


def hidden_matrices(model: nn.Module) -> list[Tensor]:
    """Returns the weights of a model's linear layers, except its head and the layers of positional schemes."""
    schemes = {id(p) for module in model.modules() if isinstance(module, Position) for p in module.parameters()}
    layers = (m for name, m in model.named_modules() if isinstance(m, nn.Linear) and name.rpartition(".")[2] != "head")
    weights = (cast(nn.Parameter, layer.weight) for layer in layers)
    return [w for w in weights if id(w) not in schemes and w.requires_grad]


def as_wide(x: Tensor) -> Tensor:
    """Returns a view of a matrix, transposed if it has more rows than columns: (R, K), R ≤ K."""
    return x if x.shape[0] <= x.shape[1] else x.T


class Muon(Optimizer):
    """Orthogonalised momentum for the hidden matrices (Jordan et al. 2024), and AdamW for every other parameter.

    Matrices of the same shape are orthogonalised in one batch, in bf16 if that is faster on this machine; the
    method was designed for bf16. The schedule scales the learning rates of both rules.

    Args:
        model: its parameters are trained.
        fused: AdamW updates all its parameters in one kernel.
        lr: AdamW's learning rate, for embeddings, head, norms, biases and the parameters of positional schemes.
        matrix_lr: Muon's learning rate. The singular values of an update are near this number, times √(rows/columns) if
            a matrix has more rows than columns.
        momentum: Muon's momentum, in Nesterov's variant.
        iterations: number of Newton–Schulz iterations.
        betas: decay rates of AdamW's running means.
        weight_decay: weight decay for matrices and embeddings; multiplied by their learning rate.
    """

    def __init__(
        self,
        model: nn.Module,
        fused: bool = False,
        *,
        lr: Annotated[float, Gt(0)] = 5e-3,
        matrix_lr: Annotated[float, Gt(0)] = 0.02,
        momentum: Annotated[float, Ge(0), Lt(1)] = 0.95,
        iterations: Annotated[int, Ge(1)] = 5,
        betas: Annotated[Sequence[Annotated[float, Ge(0), Lt(1)]], Len(2, 2)] = (0.9, 0.99),
        weight_decay: Annotated[float, Ge(0)] = 0.01,
    ) -> None:
        matrices = hidden_matrices(model)
        hidden = {id(p) for p in matrices}
        decayed, others = split_by_decay(model)
        adam = {"rule": "adamw", "lr": lr, "betas": tuple(betas), "eps": 1e-8, "fused": fused}
        muon = {"rule": "muon", "lr": matrix_lr, "momentum": momentum, "iterations": iterations}
        groups = [
            {"params": [p for p in decayed if id(p) not in hidden], "weight_decay": weight_decay} | adam,
            {"params": others, "weight_decay": 0.0} | adam,
            {"params": matrices, "weight_decay": weight_decay} | muon,
        ]
        super().__init__([group for group in groups if group["params"]], {})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Updates every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if params:
                (self._muon if group["rule"] == "muon" else self._adamw)(params, group)
        return loss

    def _adamw(self, params: list[Tensor], group: dict[str, Any]) -> None:
        fused = group["fused"]
        for p in params:
            if not self.state[p]:
                step = torch.zeros((), device=p.device if fused else None)
                self.state[p] = {"step": step, "exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}
        gradients = [p.grad for p in params if p.grad is not None]
        means, squares, steps = ([self.state[p][k] for p in params] for k in ("exp_avg", "exp_avg_sq", "step"))
        options = {name: group[name] for name in ("lr", "weight_decay", "eps")}
        options |= {"fused": fused, "foreach": not fused, "amsgrad": False, "maximize": False}
        beta1, beta2 = group["betas"]
        adamw(params, gradients, means, squares, [], steps, beta1=beta1, beta2=beta2, **options)

    def _muon(self, params: list[Tensor], group: dict[str, Any]) -> None:
        for p in params:
            if not self.state[p]:
                self.state[p] = {"momentum": torch.zeros_like(p)}
        momenta = [self.state[p]["momentum"] for p in params]
        gradients = [p.grad for p in params if p.grad is not None]
        torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
        updates = torch._foreach_lerp(gradients, momenta, group["momentum"])
        torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])
        by_shape: dict[torch.Size, list[tuple[Tensor, Tensor]]] = {}
        for p, update in zip(params, updates, strict=True):
            by_shape.setdefault(as_wide(p).shape, []).append((p, as_wide(update)))
        for pairs in by_shape.values():
            batch = torch.stack([update for _, update in pairs])  # (N, R, K)
            dtype = torch.bfloat16 if batch.dtype == torch.float32 and bf16_is_fast(batch.device) else batch.dtype
            directions = orthogonalise(batch.to(dtype), group["iterations"]).to(batch.dtype)
            for (p, _), direction in zip(pairs, directions, strict=True):
                rows, columns = p.shape
                as_wide(p).add_(direction, alpha=-group["lr"] * max(1.0, rows / columns) ** 0.5)
