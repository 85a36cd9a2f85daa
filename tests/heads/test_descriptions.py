"""Rules that replace a head's attention: what they recover, and what is said about it."""

import json

import pytest
import torch

from headscope.heads.ablation import ablate, losses, mean, replace_each
from headscope.heads.capture import Replace, heads_at, look
from headscope.heads.descriptions import from_data, to_data
from headscope.heads.patterns import KINDS
from headscope.heads.probes import repeated_probe
from headscope.heads.replacing import describe_attention
from headscope.heads.token_classes import Vocabulary
from tests.conftest import SCHEMES, small
from tests.heads.built import T, V, induction_that_rests

LETTERS = [chr(ord("a") + i) for i in range(V)]


def varied(n, seed):
    """Returns texts of repeated random tokens in which a period takes any value."""
    return repeated_probe(V, T, n, seed)


@pytest.fixture(scope="module")
def described():
    """The descriptions of a model that was built by hand: it copies the previous token, and then finds it again."""
    return describe_attention(induction_that_rests(), varied(160, 1), varied(32, 2), Vocabulary(LETTERS), "letter")


def test_the_heads_of_a_built_model_are_described(described):
    copying, nothing, induction, resting = described
    assert "the letter before" in copying.sentence
    assert copying.recovered.value == pytest.approx(1, abs=0.02)
    assert copying.parts["place"] > 0.9
    assert max(induction.rule.weights, key=induction.rule.weights.get).startswith("the token after the same")
    assert induction.recovered.value > 0.9
    assert induction.parts["identity"] > 0.5
    assert induction.full.value > 0.9
    for head in (nothing, resting):  # they write nothing
        assert not head.matters
        assert "too little to measure" in head.sentence
        assert head.recovered is None
        assert set(head.parts.values()) == {0.0}


def test_parts_add_up_to_what_is_recovered(described):
    for d in described:
        assert tuple(d.parts) == tuple(d.full_parts) == KINDS
        if d.matters:
            assert sum(d.parts.values()) == pytest.approx(d.recovered.value)
            assert sum(d.full_parts.values()) == pytest.approx(d.full.value)


def test_a_rule_recovers_what_replacing_the_attention_recovers(described):
    model, held_out, vocabulary = induction_that_rests(), varied(32, 2), Vocabulary(LETTERS)
    cache = look(model, held_out, "z", "values")
    d = described[2]
    outputs = torch.zeros_like(cache.z)
    outputs[d.layer, :, d.head] = d.rule.map(held_out, vocabulary) @ cache.values[d.layer, :, d.head]
    edit = Replace("z", outputs, heads_at(model, (d.layer, d.head)))
    rise = losses(look(model, held_out, edits=[edit]).logits, held_out) - losses(cache.logits, held_out)
    cost = ablate(model, held_out, [(d.layer, d.head)])
    assert d.cost.value == pytest.approx(cost.mean().item(), abs=1e-5)
    assert d.recovered.value == pytest.approx(1 - rise.mean().item() / cost.mean().item(), abs=1e-4)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_replacing_by_the_own_output_changes_nothing_and_by_the_mean_ablates(scheme):
    model, ids = small(scheme), torch.randint(11, (3, 12), generator=torch.Generator().manual_seed(0))
    cache = look(model, ids, "z", "resid")
    assert replace_each(model, ids, cache.z, cache).abs().max() < 1e-5
    ablated = replace_each(model, ids, mean(cache.z), cache)
    for i, head in enumerate((layer, head) for layer in range(2) for head in range(2)):
        torch.testing.assert_close(ablated[i], ablate(model, ids, [head]), atol=1e-5, rtol=0)


def test_descriptions_become_plain_data_and_come_back(described):
    plain = json.loads(json.dumps(to_data(described)))
    for before, after in zip(described, from_data(plain), strict=True):
        assert after.facts() == before.facts()
        assert after.sentence == before.sentence
        assert after.patterns == before.patterns
        assert after.recovered == before.recovered
        ids, vocabulary = varied(2, 3), Vocabulary(LETTERS)
        assert torch.equal(after.rule.map(ids, vocabulary), before.rule.map(ids, vocabulary))


def test_describing_changes_no_weight_and_no_random_state():
    model, state = small(vocab_size=V), torch.get_rng_state()
    before = {name: w.clone() for name, w in model.state_dict().items()}
    with torch.inference_mode():  # as in a validation
        describe_attention(model, varied(8, 1)[:, :8], varied(4, 2)[:, :8], Vocabulary(LETTERS))
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(w, before[name]) for name, w in model.state_dict().items())


def test_no_head_of_an_untrained_model_matters():
    model = small(vocab_size=V)
    for block in model.blocks:
        torch.nn.init.zeros_(block.attention.out.weight)  # as at the start of training
    found = describe_attention(model, varied(8, 1)[:, :12], varied(8, 2)[:, :12], Vocabulary(LETTERS))
    assert not any(d.matters for d in found)
