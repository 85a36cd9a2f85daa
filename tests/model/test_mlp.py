"""The fixed-context network, which has no attention."""

import torch

from headscope.model.mlp import FixedContextMLP


def test_it_has_about_as_many_parameters_as_part_4_states():
    """The expected number is 65·24 + (8·24 + 1)·200 + (200 + 1)·65; Part 4 states about 50K."""
    assert sum(p.numel() for p in FixedContextMLP(65, 8, 24, 200, 128).parameters()) == 53_225


def test_it_sees_its_context_and_nothing_else():
    model = FixedContextMLP(11, 3, 4, 16, 12)
    torch.nn.init.normal_(model.head.weight)
    ids = torch.randint(11, (1, 12))
    before = model(ids)
    changed = ids.clone()
    changed[0, 5] = (changed[0, 5] + 1) % 11
    differs = (model(changed) - before).abs().amax(-1)[0] > 1e-6
    assert differs.nonzero().flatten().tolist() == [5, 6, 7]


def test_it_equals_its_definition():
    model = FixedContextMLP(11, 3, 4, 16, 12)
    torch.nn.init.normal_(model.head.weight)
    ids = torch.randint(11, (1, 12))
    x = model.embedding(ids)[0]
    flat = torch.cat((x[7], x[8], x[9])).view(3, 4).T.flatten()  # for each channel, the oldest token first
    hidden = torch.tanh(model.inner.weight @ flat + model.inner.bias)
    torch.testing.assert_close(model(ids)[0, 9], model.head.weight @ hidden + model.head.bias)
