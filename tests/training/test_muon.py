"""Muon equals PyTorch's Muon, resumes exactly from a checkpoint, and updates only hidden matrices."""

import copy
from functools import partial

import pytest
import torch
from torch import nn

from headscope.model.mlp import FixedContextMLP
from headscope.model.position import Learned
from headscope.training import muon
from headscope.training.muon import Muon, hidden_matrices, orthogonalise
from tests.conftest import fit, small

SHAPES = [(8, 8), (24, 8), (8, 32), (8, 8)]


class Matrices(nn.Module):
    """Linear layers of several shapes, and parameters of other kinds."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(nn.Linear(columns, rows) for rows, columns in SHAPES)
        self.embedding = nn.Embedding(5, 8)
        self.head = nn.Linear(8, 5)


def with_gradients(model, seed):
    torch.manual_seed(seed)
    for p in model.parameters():
        p.grad = torch.randn_like(p)


@pytest.mark.parametrize("fast", [False, True])
def test_matrices_move_as_pytorchs_muon_moves_them_and_the_rest_as_its_adamw(monkeypatch, fast):
    """PyTorch orthogonalises one matrix at a time in bf16, so its updates differ from ours by about 2% (rounding)."""
    monkeypatch.setattr(muon, "bf16_is_fast", lambda device: fast)
    ours, theirs = Matrices(), Matrices()
    optimizer = Muon(ours, lr=0.01, matrix_lr=0.02, weight_decay=0.1)
    matrices = hidden_matrices(theirs)
    names = {id(p) for p in matrices}
    others = [p for p in theirs.parameters() if id(p) not in names]
    reference = [
        torch.optim.Muon(matrices, lr=0.02, momentum=0.95, weight_decay=0.1),
        torch.optim.AdamW([p for p in others if p.ndim > 1], lr=0.01, betas=(0.9, 0.99), weight_decay=0.1),
        torch.optim.AdamW([p for p in others if p.ndim == 1], lr=0.01, betas=(0.9, 0.99), weight_decay=0.0),
    ]
    for step in range(5):
        for model in (ours, theirs):
            with_gradients(model, step)
        before = {k: p.detach().clone() for k, p in ours.named_parameters()}
        optimizer.step()
        for o in reference:
            o.step()
        for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
            moved = (p - before[name]).norm()
            assert (p - q).norm() < (0.05 * moved if id(q) in names else 1e-6), name
            q.data.copy_(p.data)


def test_the_iteration_equals_its_formula_and_brings_singular_values_near_one():
    torch.manual_seed(0)
    x = torch.randn(3, 8, 20, dtype=torch.float64)
    a, b, c = muon.QUINTIC
    by_hand = x / x.norm(dim=(1, 2), keepdim=True)
    for _ in range(5):
        gram = by_hand @ by_hand.mT
        by_hand = a * by_hand + (b * gram + c * gram @ gram) @ by_hand
    torch.testing.assert_close(orthogonalise(x, 5), by_hand)
    values = torch.linalg.svdvals(orthogonalise(x, 5))
    assert values.min() > 0.6
    assert values.max() < 1.3
    u, _, v = torch.linalg.svd(x, full_matrices=False)
    assert ((orthogonalise(x, 5) * (u @ v)).sum((1, 2)) > 0.9 * 8).all(), "must be near the polar factor u v"
    rounded = orthogonalise(x.bfloat16(), 5).double()
    assert (rounded - by_hand).norm() < 0.05 * by_hand.norm()


def test_a_gradient_of_zero_moves_nothing_but_by_decay():
    model = Matrices()
    before = model.layers[0].weight.detach().clone()
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    Muon(model, matrix_lr=0.1, weight_decay=0.5).step()
    torch.testing.assert_close(model.layers[0].weight.data, before * 0.95)


def test_which_parameters_are_hidden_matrices():
    model = small(Learned)
    names = {id(p): name for name, p in model.named_parameters()}
    inner = ("attention.qkv", "attention.out", "feedforward.up", "feedforward.down")
    assert {names[id(p)] for p in hidden_matrices(model)} == {f"blocks.{i}.{n}.weight" for i in (0, 1) for n in inner}
    mlp = FixedContextMLP(11, 3, 4, 16, 12)
    assert [p.shape for p in hidden_matrices(mlp)] == [(16, 12)]
    groups = Muon(model, lr=0.1, weight_decay=0.3).param_groups
    assert sum(len(g["params"]) for g in groups) == len(names)
    assert [(g["lr"], g["weight_decay"]) for g in groups] == [(0.1, 0.3), (0.1, 0.0), (0.02, 0.3)]


@pytest.mark.parametrize("fused", [False, True])
def test_state_comes_back_exactly(fused):
    model = Matrices()
    first = Muon(model, fused)
    for step in range(3):
        with_gradients(model, step)
        first.step()
    twin = copy.deepcopy(model)
    second = Muon(twin, fused)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for step in range(3, 6):
        for m, optimizer in ((model, first), (twin, second)):
            with_gradients(m, step)
            optimizer.step()
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(p, q)


def test_accumulation_of_4_equals_a_batch_4_times_as_large(monkeypatch):
    monkeypatch.setattr(muon, "bf16_is_fast", lambda device: False)  # bf16 would amplify differences in the last bit
    ours = partial(Muon, lr=1e-3, matrix_lr=1e-3)
    _, whole = fit(batch_size=8, steps=5, optimizer=ours)
    _, parts = fit(batch_size=2, accumulate=4, steps=5, optimizer=ours)
    for a, b in zip(whole.model.parameters(), parts.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3)
