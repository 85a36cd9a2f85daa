"""Capturing activations does not change a forward pass, the activations are correct, and edits have their effect."""

import pytest
import torch
from torch import nn

from headscope.heads.capture import Replace, Scale, capture, evaluating, heads_at, look, positions_at
from headscope.model.attention import attention
from headscope.model.position import Rotary
from tests.conftest import SCHEMES, small

ALL = ("maps", "queries", "keys", "values", "z", "heads", "feedforward", "resid")
each_scheme = pytest.mark.parametrize("scheme", SCHEMES)


@pytest.fixture
def ids():
    return torch.randint(11, (3, 16), generator=torch.Generator().manual_seed(1))


@each_scheme
@pytest.mark.parametrize("autocast", [False, True])
def test_capturing_changes_no_bit(scheme, autocast, ids):
    model = small(scheme).eval()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        before = model(ids)
        with capture(model, *ALL, edits=[Scale(torch.ones(2, 2))]) as seen:
            during = model(ids)
        after = model(ids)
    assert torch.equal(during, before)
    assert torch.equal(after, before)
    assert torch.equal(seen.logits, before)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@each_scheme
def test_gradients_are_those_without_capture(scheme, ids):
    plain, captured = small(scheme), small(scheme)
    plain(ids).logsumexp(-1).sum().backward()
    with capture(captured, *ALL):
        captured(ids).logsumexp(-1).sum().backward()
    for a, b in zip(plain.parameters(), captured.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad)


@each_scheme
def test_what_is_seen_is_what_the_model_does(scheme, ids):
    """Compares every field with the parts of the model, called one by one."""
    model = small(scheme, dropout=0.5)
    seen = look(model, ids, *ALL)
    model.eval()
    assert seen.resid.shape == (3, 3, 16, 16)
    assert seen.maps.shape == (2, 3, 2, 16, 16)
    assert (seen.maps.triu(1) == 0).all()
    torch.testing.assert_close(seen.maps.sum(-1), torch.ones(2, 3, 2, 16))
    assert torch.equal(seen.resid[0], model.embed(ids))
    assert torch.equal(seen.logits, model.head(model.norm(seen.resid[-1])))
    for layer, block in enumerate(model.layers()):
        x = seen.resid[layer]
        q, k, v = block.attention.heads(block.norm1(x))
        k, bias = block.attention.score_inputs(k)
        assert torch.equal(seen.queries[layer], q)
        assert torch.equal(seen.keys[layer], k)
        assert torch.equal(seen.values[layer], v)
        mixed = attention(q, k, v, scale=block.attention.position.scale, bias=bias)
        assert torch.equal(seen.z[layer], mixed)
        torch.testing.assert_close(seen.maps[layer] @ v, mixed, atol=1e-5, rtol=1e-5)
        written = block.attention(block.norm1(x))
        torch.testing.assert_close(seen.heads[layer].sum(1), written, atol=1e-5, rtol=1e-5)
        assert torch.equal(seen.feedforward[layer], block.feedforward(block.norm2(x + written)))
        assert torch.equal(seen.resid[layer + 1], x + written + seen.feedforward[layer])


def test_looking_leaves_every_mode_alone(ids):
    model = small(dropout=0.5)
    model.blocks[1].eval()
    modes = [m.training for m in model.modules()]
    a, b = look(model, ids).logits, look(model, ids).logits
    assert torch.equal(a, b)
    assert not a.requires_grad
    assert [m.training for m in model.modules()] == modes
    with pytest.raises(KeyError), evaluating(model):
        raise KeyError
    assert [m.training for m in model.modules()] == modes


def test_hooks_go_when_something_fails(ids):
    model = small()
    with pytest.raises(ValueError, match="do not fit"), capture(model, "maps"):
        model(torch.zeros(1, 17, dtype=torch.long))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_the_maps_of_a_cached_chunk(ids):
    model, cache = small().eval(), None
    whole = look(model, ids, "maps").maps
    cache = model.new_cache()
    model(ids[:, :10], cache)
    with capture(model, "maps") as seen:
        model(ids[:, 10:], cache)
    torch.testing.assert_close(seen.maps, whole[..., 10:, :])


def without(model, layer, head):
    """Removes a head by zeroing its D columns of the output projection; returns the model."""
    with torch.no_grad():
        model.blocks[layer].attention.out.weight[:, 8 * head : 8 * head + 8] = 0
    return model


@each_scheme
@pytest.mark.parametrize("how", ["scale", "replace"])
def test_removing_a_head_is_cutting_its_weights(scheme, how, ids):
    model = small(scheme).eval()
    if how == "scale":
        gates = torch.ones(2, 2)
        gates[0, 1] = 0
        edit = Scale(gates)
    else:
        edit = Replace("z", torch.zeros(()), heads_at(model, (0, 1)))
    logits = look(model, ids, edits=[edit]).logits
    assert not torch.allclose(logits, look(model, ids).logits)
    torch.testing.assert_close(logits, without(model, 0, 1)(ids), atol=1e-6, rtol=1e-5)


def test_every_row_of_a_batch_has_gates_of_its_own(ids):
    model = small().eval()
    one = ids[:1].expand(3, -1)
    gates = torch.ones(2, 3, 2)
    gates[0, 1, 1] = gates[1, 2, 0] = 0
    logits = look(model, one, edits=[Scale(gates)]).logits
    for row, cut in ((1, (0, 1)), (2, (1, 0))):
        alone = without(small().eval(), *cut)(one[:1])
        torch.testing.assert_close(logits[row], alone[0], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(logits[0], model(one[:1])[0], atol=1e-6, rtol=1e-5)


def test_a_gate_has_a_gradient(ids):
    model = small().eval()
    gates = torch.ones(2, 2, requires_grad=True)
    with capture(model, edits=[Scale(gates)]):
        model(ids).logsumexp(-1).sum().backward()
    assert (gates.grad != 0).all()


@pytest.mark.parametrize("point", ["queries", "keys", "values", "z", "feedforward", "resid"])
def test_a_run_with_another_runs_tensor_shows_it(point, ids):
    """A replaced activation is captured at its place and only there; replacing it by itself changes nothing."""
    model = small().eval()
    here, other = look(model, ids, *ALL), look(model, ids.flip(1), *ALL)
    own, theirs = getattr(here, point), getattr(other, point)
    where = torch.zeros(own.shape[:-1], dtype=torch.bool)
    where[1, :, 1] = True
    assert torch.equal(look(model, ids, edits=[Replace(point, own, where)]).logits, here.logits)
    patched = look(model, ids, *ALL, edits=[Replace(point, theirs, where)])
    assert torch.equal(getattr(patched, point)[1, :, 1], theirs[1, :, 1])
    assert torch.equal(getattr(patched, point)[0], own[0])
    assert not torch.equal(patched.logits, here.logits)


def test_the_last_stream_replaced_is_the_others_answer(ids):
    model = small().eval()
    other = look(model, ids.flip(1), "resid")
    edit = Replace("resid", other.resid, positions_at(model, 16, 2, 5, 9))
    logits = look(model, ids, edits=[edit]).logits
    assert torch.equal(logits[:, [5, 9]], other.logits[:, [5, 9]])
    assert torch.equal(logits[:, 6], look(model, ids).logits[:, 6])


def test_edits_act_in_their_order(ids):
    model = small().eval()
    put = Replace("z", torch.ones(()), heads_at(model, (0, 0)))
    twice = Scale(torch.full((2, 2), 2.0))
    assert (look(model, ids, "z", edits=[put, twice]).z[0, :, 0] == 2).all()
    assert (look(model, ids, "z", edits=[twice, put]).z[0, :, 0] == 1).all()


def test_a_field_that_is_not_recorded_raises(ids):
    model = small()
    with pytest.raises(ValueError, match="'map' cannot be captured; choose from queries"), capture(model, "map"):
        pass
    with capture(model, "maps") as seen:
        with pytest.raises(AttributeError, match="no forward pass has filled 'maps' yet"):
            seen.maps  # noqa: B018
        model(ids)
    with pytest.raises(AttributeError, match="'heads' is not recorded"):
        seen.heads  # noqa: B018


def test_the_names_of_the_weights_are_those_of_older_checkpoints():
    names = [n for n, _ in small(Rotary, n_layers=1).named_parameters() if "attention" in n]
    assert names == ["blocks.0.attention.qkv.weight", "blocks.0.attention.out.weight"]
    assert isinstance(small().blocks[0].attention.attend, nn.Module)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # raised inside torch's compiler
def test_a_compiled_model_is_seen_and_goes_on_compiled(ids):
    model = small().eval()
    plain = look(model, ids, "maps")
    model.compile()
    before = model(ids)
    seen = look(model, ids, "maps", edits=[Scale(torch.ones(2, 2))])
    assert torch.equal(seen.maps, plain.maps)
    assert torch.equal(seen.logits, plain.logits)
    assert torch.equal(model(ids), before)
    torch.testing.assert_close(before, plain.logits, atol=1e-5, rtol=1e-5)
