"""A modified model writes what `next` and `loss` predict: no faster copy hides the modification."""

import copy
from contextlib import contextmanager

import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.nn.utils import parametrize, prune

from headscope.generation import fast_copies
from headscope.generation.decode import decode
from headscope.generation.fast_copies import draft, fast_copy, is_modified
from headscope.generation.sampling import Sampling
from headscope.model.transformer import TransformerLM
from tests.generation.test_decode import generators, of, slowly


class Mirrored(nn.Linear):
    """A layer of the user's own."""

    def forward(self, x):
        return -super().forward(x)


class Called(nn.Linear):
    """A layer whose call is not its `forward`."""

    def __call__(self, x):
        return -self.forward(x)


def replaced(kind):
    def modify(model):
        model.head.__class__ = kind

    return modify


def forward_of_a_part(model):
    before = model.head.forward
    model.head.forward = lambda x: -before(x)


def forward_of_the_model(model):
    before = model.forward
    model.forward = lambda ids, cache=None: -before(ids, cache)


def method_of_the_model(model):
    before = model.embed
    model.embed = lambda ids, offset=0: -before(ids, offset)


class Negative(nn.Module):
    def forward(self, weight):
        return -weight


def sequential(model):
    model.head = nn.Sequential(model.head, Negative())


def weight(model):
    model.head.weight = nn.Parameter(-model.head.weight.detach())


WAYS = {
    "forward of a part": forward_of_a_part,
    "forward of the model": forward_of_the_model,
    "method of the model": method_of_the_model,
    "hook": lambda model: model.head.register_forward_hook(lambda _m, _a, y: -y),
    "pre-hook": lambda model: model.head.register_forward_pre_hook(lambda _m, args: (-args[0],)),
    "hook with keywords": lambda model: model.norm.register_forward_hook(lambda _m, _a, _k, y: -y, with_kwargs=True),
    "parametrization": lambda model: parametrize.register_parametrization(model.head, "weight", Negative()),
    "pruning": lambda model: prune.random_unstructured(model.head, "weight", 0.9),
    "class": replaced(Mirrored),
    "class with its own call": replaced(Called),
    "wrapped part": sequential,
    "weight": weight,
}
each_way = pytest.mark.parametrize("modify", WAYS.values(), ids=WAYS.keys())
PROMPT = torch.tensor([3, 1, 4])


def written(model, n=30, sampling=None):
    return [t for (t,) in decode(model, PROMPT[None], n, sampling or Sampling(1.0), generators(5), draft(model))]


@each_way
@pytest.mark.parametrize("large", [0, fast_copies.LARGE], ids=["draft", "no draft"])
def test_a_modified_model_writes_what_it_predicts(modify, large, monkeypatch):
    monkeypatch.setattr(fast_copies, "LARGE", large)
    model = of()
    before = written(model)
    modify(model)
    expected = slowly(model, PROMPT, 30, Sampling(1.0), *generators(5))
    assert expected != before
    assert written(model) == expected


@contextmanager
def hook_for_all_modules(register, hook):
    handle = register(hook)
    try:
        yield
    finally:
        handle.remove()


@pytest.mark.parametrize(
    ("register", "hook"),
    [
        (register_module_forward_hook, lambda module, _args, y: -y if isinstance(module, nn.Embedding) else None),
        (register_module_forward_pre_hook, lambda m, args: (-args[0],) if isinstance(m, nn.LayerNorm) else None),
    ],
)
def test_a_hook_for_all_modules_is_called(register, hook):
    model = of()
    before = written(model)
    with hook_for_all_modules(register, hook):
        expected = slowly(model, PROMPT, 30, Sampling(1.0), *generators(5))
        assert written(model) == expected != before
    assert written(model) == before


def test_a_patched_class_is_called(monkeypatch):
    model = of()
    before = written(model)  # keeps the class of the faster copy
    forward = TransformerLM.forward
    monkeypatch.setattr(TransformerLM, "forward", lambda self, ids, cache=None: -forward(self, ids, cache))
    assert written(model) == slowly(model, PROMPT, 30, Sampling(1.0), *generators(5)) != before


def test_a_removed_modification_restores_the_fast_path():
    model = of()
    assert fast_copy(model) is not model
    handle = model.head.register_forward_hook(lambda _m, _a, y: -y)
    model.norm.forward = model.norm.forward
    assert is_modified(model)
    handle.remove()
    assert is_modified(model)
    del model.norm.forward
    assert not is_modified(model)
    assert not is_modified(copy.deepcopy(model))
