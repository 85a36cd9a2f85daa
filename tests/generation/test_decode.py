"""The text is the same with or without a cache, a draft, a bare copy of the model, and other texts in the batch."""

from functools import partial

import pytest
import torch
from torch import nn

from headscope.generation import fast_copies
from headscope.generation.decode import context_start, decode
from headscope.generation.fast_copies import EightBitLinear, draft, fast_copy
from headscope.generation.sampling import Sampling
from headscope.heads.capture import capture
from headscope.model.feedforward import GELU, SquaredReLU, SwiGLU
from headscope.model.mlp import FixedContextMLP
from headscope.model.position import Position, Rotary
from headscope.model.qk_norm import QKNorm, Unit
from headscope.model.transformer import TransformerLM
from tests.conftest import small
from tests.model.schemes import ROWS

SAMPLINGS = [Sampling(0), Sampling(1.0), Sampling(0.7, top_k=5), Sampling(1.3, top_p=0.8)]


class Widening(Position):
    """A plugin's scheme that uses every hook, adds channels to q and k, and depends on x and on the position."""

    def __init__(self, d_model, n_heads, block_size, layer=None):
        super().__init__(d_model, n_heads, block_size, layer)
        self.scale = 0.3
        self.mix = nn.Linear(d_model, n_heads)

    def embed(self, x, offset):
        return x + torch.arange(offset, offset + x.shape[1])[:, None] / 16

    def queries_and_keys(self, q, k, x, offset):
        extra = self.mix(x).transpose(1, 2)[..., None]  # (B, H, T, 1)
        place = torch.arange(offset, offset + q.shape[-2])[:, None]
        return torch.cat((q, extra), -1), torch.cat((k, extra * place), -1)

    def bias(self, offset, t_q, t_k):
        return (torch.arange(t_k) - torch.arange(offset, offset + t_q)[:, None]) / 4


def of(position=Rotary, feedforward=GELU, qk_norm=QKNorm, seed=0):
    """Returns a small model with these parts and random matrices."""
    torch.manual_seed(seed)
    model = TransformerLM(11, 16, 2, 2, 16, 0.1, position, feedforward, qk_norm)
    for p in model.parameters():
        if p.ndim >= 2:
            nn.init.normal_(p, std=p.shape[-1] ** -0.5)
    return model.eval()


MODELS = {
    **{name: partial(of, row.scheme) for name, row in ROWS.items()},
    "widening": partial(of, Widening),
    **{kind.__name__: partial(of, feedforward=kind, qk_norm=Unit) for kind in (GELU, SquaredReLU, SwiGLU)},
    "MLP": lambda: FixedContextMLP(11, 3, 4, 8, 16).eval(),
}
each_model = pytest.mark.parametrize("name", MODELS)


def generators(*seeds):
    return [torch.Generator().manual_seed(s) for s in seeds]


def slowly(model, prompt, n, sampling, generator):
    """Generates one text without cache, bare copy or draft: each token takes a forward pass over the whole context."""
    ids = prompt.tolist()
    for _ in range(n):
        context = torch.tensor([ids[context_start(len(ids), model.block_size) :]])
        with torch.no_grad():
            logits = model(context)[0, -1]
        ids.append(int(sampling.draw(logits, sampling.noise([generator], len(logits))[0])))
    return ids[len(prompt) :]


def test_a_full_context_drops_its_older_half():
    starts = [context_start(n, 8) for n in range(1, 22)]
    assert starts == [0] * 8 + [4] * 4 + [8] * 4 + [12] * 4 + [16]
    assert all(1 <= n - start <= 8 for n, start in enumerate(starts, 1))


def check_against_the_slow_loop(model, length, sampling, n=20):
    prompts = torch.randint(11, (2, length), generator=torch.Generator().manual_seed(length))
    together = list(zip(*decode(model, prompts, n, sampling, generators(5, 6)), strict=True))
    for row, seed in enumerate((5, 6)):
        (generator,) = generators(seed)
        assert list(together[row]) == slowly(model, prompts[row], n, sampling, generator)


@each_model
@pytest.mark.parametrize("length", [1, 5, 16, 40])
def test_decoding_equals_a_slow_loop(name, length):
    check_against_the_slow_loop(MODELS[name](), length, Sampling(1.0))


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_decoding_equals_a_slow_loop_for_every_sampling(sampling):
    check_against_the_slow_loop(of(), 3, sampling, 40)


@each_model
def test_a_bare_copy_computes_the_same_bits(name):
    model = MODELS[name]()
    ids = torch.randint(11, (2, 16))
    twin = fast_copy(model)
    assert twin(ids).equal(model(ids))
    if hasattr(model, "new_cache"):
        ours, theirs = model.new_cache(), model.new_cache()
        for part in ids.split([5, 1, 4, 1, 1, 4], 1):
            assert twin(part, ours).equal(model(part, theirs))


def test_a_bare_copy_shares_weights_and_keeps_its_mode():
    model = of()
    ids = torch.randint(11, (1, 8))
    twin = fast_copy(model)
    before = twin(ids)
    model.train()
    assert twin(ids).equal(before), "a copy made without dropout must not start to use it"
    with torch.no_grad():
        model.head.weight.mul_(2)
    assert not twin(ids).equal(before)
    assert not fast_copy(model)(ids).equal(fast_copy(model)(ids)), "a copy made with dropout must use it"


def test_a_model_with_hooks_is_called_with_them():
    model = of()
    with capture(model, "maps") as seen:
        list(decode(model, torch.tensor([[1, 2]]), 1, Sampling(0), generators(1)))
    assert seen.maps.shape[-2:] == (2, 2)


@pytest.mark.parametrize(
    ("name", "sampling"),
    [*((n, Sampling(1.0)) for n in MODELS if n != "MLP"), *(("rope", s) for s in SAMPLINGS if s != Sampling(1.0))],
)
def test_a_draft_changes_nothing(name, sampling, monkeypatch):
    monkeypatch.setattr(fast_copies, "LARGE", 0)
    model = MODELS[name]()
    rough = draft(model)
    wrong = MODELS[name](seed=9)
    prompts = torch.randint(11, (2, 5), generator=torch.Generator().manual_seed(1))
    text = list(decode(model, prompts, 40, sampling, generators(1, 2)))
    assert len(text) == 40
    for guess in (rough, wrong):
        assert list(decode(model, prompts, 40, sampling, generators(1, 2), guess)) == text


def test_a_draft_reads_eight_bits_and_is_right_nearly_always(monkeypatch):
    monkeypatch.setattr(fast_copies, "LARGE", 0)
    model = of()
    rough = draft(model)
    kept = [m for m in rough.modules() if isinstance(m, EightBitLinear)]
    assert len(kept) == sum(isinstance(m, nn.Linear) for m in model.modules()) == 9
    assert all(m.weight.dtype == torch.int8 for m in kept)
    ids = torch.randint(11, (64, 16), generator=torch.Generator().manual_seed(1))
    sampling = Sampling(1.0)
    noise = torch.stack([sampling.noise(generators(i), 11).expand(16, -1) for i in range(64)])
    same = sampling.draw(model(ids), noise) == sampling.draw(rough(ids), noise)
    assert same.float().mean() > 0.95
    assert not model(ids).equal(rough(ids))


def test_a_draft_that_is_right_saves_passes_of_the_model():
    model = small(block_size=64).eval()
    passes = []

    class Counted(TransformerLM):
        def forward(self, ids, cache=None):
            passes.append(ids.shape[1])
            return super().forward(ids, cache)

    twin = fast_copy(model)
    model.__class__ = Counted
    list(decode(model, torch.tensor([[1]]), 60, Sampling(1.0), generators(1), twin))
    assert passes == [1, 33, 26]


@pytest.mark.parametrize("unfit", [lambda m: m, lambda m: m.double(), lambda m: FixedContextMLP(11, 3, 400, 2000, 16)])
def test_no_draft_where_it_does_not_pay(unfit):
    assert draft(unfit(of())) is None
