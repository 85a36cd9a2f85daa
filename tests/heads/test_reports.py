"""Reports on every head: heads with hand-set weights get their roles, and only ablation confirms a role."""

import math

import pytest
import torch
import torch.nn.functional as F

from headscope.heads import ablate, describe, look, losses, predictable, repeated_probe, zero
from headscope.model.position import Learned, Rotary
from headscope.model.transformer import TransformerLM
from tests.conftest import SCHEMES, small
from tests.heads import built

V, T, C, D = 8, 16, 48, 24
FIELDS = {
    "previous_token",
    "duplicate_token",
    "induction",
    "sink",
    "local",
    "evenness",
    "distance",
    "copying",
    "ov_eigenvalues",
    "importance",
}


@torch.no_grad()
def wired():
    """Returns a model with hand-set weights: head 0 copies the previous token, head 1 attends to the first token.

    Head 1 writes nothing. V channels hold the token, T channels its position, and V channels the previous token.
    """
    model = TransformerLM(V, C, 2, 1, T, 0.0, Learned)
    for p in model.parameters():
        p.zero_()
    block = model.blocks[0]
    for norm in (block.norm1, block.norm2, model.norm):
        norm.weight.fill_(1)
    model.embedding.weight[:, :V] = torch.eye(V)
    model.position.vectors.weight[:, V : V + T] = torch.eye(T)
    q, k, v = block.attention.qkv.weight.view(3, 2, D, C)
    q[0, :T, V : V + T] = 5 * torch.eye(T)
    k[0, 1:T, V : V + T - 1] = 5 * torch.eye(T - 1)  # the key of position j matches the query of position j + 1
    q[1, 0, V : V + T] = 20
    k[1, 0, V] = 20
    v[0, :V, :V] = torch.eye(V)
    block.attention.out.weight[V + T : V + T + V, :V] = torch.eye(V)
    model.head.weight[:, V + T : V + T + V] = torch.eye(V) / 2
    return model


def alternating(n):
    """Returns texts a b a b …, in which the next token equals the previous one."""
    first = torch.arange(n) % V
    return torch.stack((first, (first + 3) % V), 1).repeat(1, T // 2)


def test_a_role_that_matters_is_confirmed_and_one_that_does_not_is_not():
    model, text = wired(), alternating(8)
    previous, sink = describe(model, text, repeated_probe(V, T, 6))
    assert (previous.name, previous.role, previous.confirmed) == ("L0H0", "previous token", True)
    assert (sink.name, sink.role, sink.confirmed) == ("L0H1", "sink", False)
    assert previous.scores.keys() == sink.scores.keys() == FIELDS
    assert previous.scores["previous_token"] == previous.evidence.value == 1
    assert sink.scores["sink"] == sink.evidence.value == 1
    harmonic = sum(1 / i for i in range(1, T + 1))
    assert previous.evidence.uniform == pytest.approx((harmonic - 1) / (T - 1))
    assert previous.evidence.shuffled == pytest.approx(previous.evidence.uniform, abs=0.15)
    rise = ablate(model, text, [(0, 0)])
    assert previous.evidence.cost == pytest.approx(rise.mean().item())
    assert previous.evidence.cost > 1
    assert previous.evidence.error == pytest.approx(rise.std().item() / math.sqrt(8 * 15))
    assert (sink.evidence.cost, sink.evidence.probe) == (0, "text")
    assert previous.scores["importance"] > 0.01
    assert sink.scores["importance"] == 0
    assert previous.scores["copying"] == 1
    assert math.isnan(sink.scores["ov_eigenvalues"])


@torch.no_grad()
def test_heads_that_stand_in_for_each_other_are_confirmed_together_and_one_that_writes_nothing_is_not():
    model, text, repeated = wired(), alternating(8), repeated_probe(V, T, 6)
    attention = model.blocks[0].attention
    q, k, v = attention.qkv.weight.view(3, 2, D, C)
    q[1], k[1] = q[0], k[0]  # both heads attend to the previous token; the second one writes nothing yet
    needed, idle = describe(model, text, repeated)
    assert [(r.role, r.confirmed) for r in (needed, idle)] == [("previous token", True), ("previous token", False)]
    assert (needed.evidence.last, idle.evidence.cost, idle.evidence.last) == (None, 0, 0)

    v[1] = v[0]
    attention.out.weight[:, D:] = attention.out.weight[:, :D]
    model.head.weight *= 2  # the output of one head alone now gives a confident prediction
    reports = describe(model, text, repeated)
    both = ablate(model, text, [(0, 0), (0, 1)])
    for report, other in zip(reports, [(0, 1), (0, 0)], strict=True):
        assert report.confirmed
        assert not report.evidence.needed
        more = both - ablate(model, text, [other])
        assert report.evidence.last == pytest.approx(more.mean().item())
        assert report.evidence.last_error == pytest.approx(more.std().item() / math.sqrt(8 * 15))
        assert report.evidence.last > 1


@pytest.mark.parametrize("copies", [1, 2])
def test_a_model_with_sinks_and_induction_gets_the_right_names(copies):
    """Where nothing repeats, the induction head rests on the first token, and all heads are idle."""
    model, text = built.induction_that_rests(copies), built.without_repeats(5)
    reports = {r.name: r for r in describe(model, text)}
    induction, sink = reports[f"L{copies}H0"], reports[f"L{copies}H1"]
    assert (induction.role, induction.rests_on_first, induction.confirmed) == ("induction", True, True)
    assert (induction.evidence.probe, induction.evidence.needed) == ("repeated", True)
    assert (sink.role, sink.rests_on_first, sink.confirmed) == ("sink", True, False)
    assert all(r.stability == 1 and r.samples == 10 for r in reports.values())
    for layer in range(copies):
        previous, idle = reports[f"L{layer}H0"], reports[f"L{layer}H1"]
        assert (previous.role, previous.rests_on_first, previous.confirmed) == ("previous token", False, True)
        assert previous.evidence.probe == "repeated"
        assert (idle.role, idle.confirmed) == ("uniform", False)


def test_a_previous_token_head_is_tested_where_its_role_matters():
    """On text, the previous token predicts nothing, because no token occurs twice; on repeated tokens, it predicts."""
    model, text = built.induction_that_rests(), built.without_repeats(5)
    repeated = repeated_probe(built.V, built.T, 5)
    previous, *_ = describe(model, text, repeated)
    assert ablate(model, text, [(0, 0)]).mean() < 0.01
    rise = ablate(model, repeated, [(0, 0)])[predictable(repeated)]
    assert previous.evidence.cost == pytest.approx(rise.mean().item(), rel=1e-4)
    assert previous.evidence.cost > 1
    assert previous.evidence.error == pytest.approx(rise.std().item() / math.sqrt(len(rise)), rel=1e-4)


def test_heads_in_other_layers_that_replace_a_head_are_ablated_before_it():
    model, text, repeated = built.induction_that_rests(2), built.without_repeats(5), repeated_probe(built.V, built.T, 5)
    reports = describe(model, text, repeated)
    both = ablate(model, repeated, [(0, 0), (1, 0)])[predictable(repeated)]
    for layer in (0, 1):
        evidence = reports[2 * layer].evidence
        assert not evidence.needed
        more = both - ablate(model, repeated, [(1 - layer, 0)])[predictable(repeated)]
        assert evidence.last == pytest.approx(more.mean().item(), rel=1e-4)
        assert evidence.last_error == pytest.approx(more.std().item() / math.sqrt(len(more)), rel=1e-4)
        assert evidence.last > 1


def test_a_previous_token_head_that_matters_on_text_only_is_tested_there():
    """In this model, the next token equals the previous one, which the repeated random tokens do not obey."""
    previous, _ = describe(wired(), alternating(8), repeated_probe(V, T, 6))
    assert previous.evidence.probe == "text"
    assert previous.confirmed


@pytest.mark.parametrize("scheme", SCHEMES)
def test_describing_leaves_the_model_alone(scheme):
    model = small(scheme, dropout=0.5, n_layers=3)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    state = torch.random.get_rng_state()
    text, repeated = torch.randint(11, (2, 16), generator=torch.Generator().manual_seed(0)), repeated_probe(11, 16, 4)
    with torch.inference_mode():  # Lightning validates in inference mode
        inside = describe(model, text.clone(), repeated.clone())
    assert inside == describe(model, text, repeated)
    assert [(r.layer, r.head) for r in inside] == [(i, j) for i in range(3) for j in range(2)]
    assert all(isinstance(x, float) and math.isfinite(x) for r in inside for x in r.scores.values())
    assert all(r.evidence is None and not r.confirmed for r in inside if r.role == "none")
    assert model.training
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


def test_a_new_model_has_no_confirmed_role():
    """The output projections of a new model are zero."""
    torch.manual_seed(0)
    model = TransformerLM(11, 32, 4, 2, 32, 0.0, Rotary)
    assert not any(r.confirmed for r in describe(model, torch.randint(11, (2, 32)), repeated_probe(11, 32, 4)))


def test_texts_that_show_nothing_are_refused():
    model, repeated = small(), repeated_probe(11, 16, 4)
    with pytest.raises(ValueError, match="at least 4 tokens, not 3"):
        describe(model, torch.zeros(2, 3, dtype=torch.long), repeated)
    with pytest.raises(ValueError, match="at least two repeated texts"):
        describe(model, repeated, repeated[:1])


@pytest.mark.slow
@pytest.mark.parametrize("n_layers", [1, 2])
def test_two_layers_grow_confirmed_induction_heads_and_one_layer_cannot(n_layers):
    torch.manual_seed(0)
    model = TransformerLM(64, 64, 2, n_layers, 32, 0.0, Rotary)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(400):
        ids = repeated_probe(64, 32, 64, seed=1000 + step)
        optimizer.zero_grad()
        F.cross_entropy(model(ids)[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).backward()
        optimizer.step()
    text, repeated = repeated_probe(64, 32, 8, seed=1), repeated_probe(64, 32, 8, seed=2)
    reports = describe(model, text, repeated)
    known = predictable(repeated)
    loss = losses(look(model, repeated).logits, repeated)[known].mean().item()
    grown = [(r.layer, r.head) for r in reports if r.role == "induction" and r.confirmed]
    if n_layers == 1:
        assert not grown
        assert loss > 1.5
        assert max(r.scores["induction"] for r in reports) < 0.2
    else:
        assert {layer for layer, _ in grown} == {1}
        assert loss < 1
        assert max(r.scores["induction"] for r in reports) > 0.6
        assert ablate(model, repeated, grown, zero)[known].mean() > 0.5
