"""Positional schemes: golden values of each, and invariants that hold for all.

Golden values: Vaswani et al. 2017 section 3.5 and Press et al. 2022 section 3, computed by hand from their formulas.
"""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from headscope.heads.capture import look
from headscope.model.attention import MultiHeadAttention, _bias_as_channels, attention, attention_weights
from headscope.model.position import ALiBi, Learned, Position, Rotary, Sinusoidal
from headscope.model.position.biases import T5
from headscope.model.position.rotary import EXTENSIONS, PartialRotary, Polar
from headscope.training.muon import Muon
from headscope.training.optim import AdamW, split_by_decay
from tests.conftest import ROOT, SCHEMES, small
from tests.model.schemes import ROWS


def test_sinusoidal_golden_values():
    table = Sinusoidal(4, 1, 8).table()
    torch.testing.assert_close(table[1], torch.tensor([0.841471, 0.540302, 0.0099998, 0.999950]), atol=1e-6, rtol=0)


def test_sinusoidal_products_depend_on_the_distance_alone():
    table = Sinusoidal(64, 1, 32).table().double()
    torch.testing.assert_close((table**2).sum(1), torch.full((32,), 32.0).double(), atol=1e-5, rtol=0)
    theta = 10000.0 ** (-torch.arange(0, 64, 2).double() / 64)
    assert float(table[20] @ table[7]) == pytest.approx(float(torch.cos(13 * theta).sum()), abs=1e-4)


def test_rotary_golden_score():
    """For q = k = [1, 0, 1, 0] with interleaved pairs and d = 4, the score at distance Δ is cos Δ + cos 0.01 Δ."""
    rotary = Rotary(4, 1, 32, 0)
    u = torch.tensor([1.0, 0.0, 1.0, 0.0]).expand(1, 1, 32, 4)
    q, k = rotary.queries_and_keys(u, u, u, 0)
    scores = (q @ k.transpose(-1, -2))[0, 0]
    for i, j in [(5, 5), (9, 2), (31, 30), (25, 0)]:
        assert float(scores[i, j]) == pytest.approx(math.cos(i - j) + math.cos(0.01 * (i - j)), abs=1e-5)


def test_rotary_is_interleaved_not_half_split():
    """The two conventions of pairs differ by a permutation of channels; confusing them is a common bug."""
    d, t = 8, 16
    q = torch.randn(1, 1, t, d)
    ours, _ = Rotary(d, 1, t, 0).queries_and_keys(q, q, q, 0)
    theta = 10000.0 ** (-torch.arange(0, d, 2).float() / d)
    angle = torch.outer(torch.arange(t).float(), theta).repeat(1, 2)
    halves = torch.cat((q[..., 0::2], q[..., 1::2]), -1)  # pairs (i, i + d/2)
    turned = halves * angle.cos() + torch.cat((-halves[..., d // 2 :], halves[..., : d // 2]), -1) * angle.sin()
    torch.testing.assert_close(torch.cat((ours[..., 0::2], ours[..., 1::2]), -1), turned, atol=1e-5, rtol=0)
    assert not torch.allclose(ours, turned)


@pytest.mark.parametrize(
    ("n_heads", "slopes"),
    [
        (8, [2**-i for i in range(1, 9)]),
        (4, [0.25, 0.0625, 0.015625, 0.00390625]),
        (6, [0.25, 0.0625, 0.015625, 0.00390625, 0.5, 0.125]),
        (12, [*(2**-i for i in range(1, 9)), 0.707107, 0.353553, 0.176777, 0.088388]),
    ],
)
def test_alibi_slopes(n_heads, slopes):
    torch.testing.assert_close(ALiBi.slopes_of(n_heads), torch.tensor(slopes), atol=1e-6, rtol=0)


def test_alibi_lowers_the_scores_of_distant_keys():
    bias = ALiBi(8, 2, 8, 0).bias(4, 2, 6)
    assert bias.shape == (2, 1, 6), "one number per key: a number that all keys share changes no weight"
    assert (bias[0, 0, 0] - bias[0, 0, 4]).item() == pytest.approx(-4 * 2**-4)
    assert (bias[1, 0, 3] - bias[1, 0, 5]).item() == pytest.approx(-2 * 2**-8)


def test_learned_has_one_table_and_no_more():
    assert sum(p.numel() for p in Learned(16, 2, 8).parameters()) == 8 * 16
    assert not list(Learned(16, 2, 8, layer=0).parameters())


def test_widths_that_cannot_be_paired_are_refused():
    with pytest.raises(ValueError, match="must be even"):
        Rotary(6, 2, 8, 0)
    with pytest.raises(ValueError, match="must be even"):
        Sinusoidal(5, 1, 8)


def test_t5_buckets():
    """The expected values are from T5's own rule: causal, 32 buckets up to a distance of 128."""
    golden = {0: 0, 15: 15, 16: 16, 19: 17, 20: 17, 21: 18, 32: 21, 64: 26, 112: 30, 113: 31, 128: 31, 1000: 31}
    found = T5(16, 2, 8, 0).bucket(torch.tensor(list(golden)))
    assert found.tolist() == list(golden.values())


def test_t5_shares_its_biases_over_layers_and_one_gradient_gathers_them():
    model = small(T5)
    first, second = (block.attention.position.biases for block in model.layers())
    assert first is second
    names = [n for n, _ in model.named_parameters() if n.endswith("biases")]
    assert names == ["blocks.0.attention.position.biases"]


def test_a_schemes_small_matrices_do_not_decay():
    for scheme, name in ((T5, "biases"), (Polar, "phases")):
        model = small(scheme)
        spared = {id(p) for p in split_by_decay(model)[1]}
        assert id(getattr(model.layers()[0].attention.position, name)) in spared
        for optimizer in (AdamW(model), Muon(model)):
            of = [g["weight_decay"] for g in optimizer.param_groups for p in g["params"] if id(p) in spared]
            assert of
            assert not any(of)


def test_a_fraction_without_a_pair_of_channels_is_refused():
    with pytest.raises(ValueError, match="less than one pair"):
        PartialRotary(16, 4, 8, 0, fraction=0.25)
    with pytest.raises(ValueError, match="must exceed half"):
        T5(16, 4, 8, 0, buckets=32, max_distance=16)


def test_every_scheme_has_a_row_and_every_row_a_scheme():
    files = {p.stem for p in (ROOT / "conf" / "position").glob("*.yaml")}
    assert files == {name.partition(",")[0] for name in ROWS}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_hook_keeps_its_shape_and_honours_the_offset(scheme):
    torch.manual_seed(0)
    embedding, layer = scheme(16, 2, 12), scheme(16, 2, 12, 0)
    x, q, k = torch.randn(1, 12, 16), torch.randn(1, 2, 12, 8), torch.randn(1, 2, 12, 8)
    whole = embedding.embed(x, 0)
    torch.testing.assert_close(embedding.embed(x[:, 5:], 5), whole[:, 5:])
    a, b = layer.queries_and_keys(q, k, x, 0)
    c, d = layer.queries_and_keys(q[:, :, 5:], k[:, :, 5:], x[:, 5:], 5)
    torch.testing.assert_close(c, a[:, :, 5:])
    torch.testing.assert_close(d, b[:, :, 5:])
    keys, further = layer.keys(b)
    assert keys.shape[-1] == a.shape[-1]
    for bias in (layer.bias(0, 12, 12), further):
        assert bias is None or bias.broadcast_to(1, 2, 12, 12).isfinite().all()
    bias = layer.bias(0, 12, 12)
    if bias is not None and bias.shape[-2] > 1:
        torch.testing.assert_close(layer.bias(5, 7, 12), bias[:, 5:])
    assert isinstance(layer, Position)


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("t", [8, 13])
def test_maps_equal_an_explicit_softmax(name, t):
    """Computes both layers in float64 NumPy from the weights: LayerNorm, projections, the row's formula, softmax."""
    row = ROWS[name]
    model = small(row.scheme, block_size=13).eval()
    ids = torch.randint(11, (1, t))
    weights = {k: v.double().numpy() for k, v in model.state_dict().items()}
    seen = look(model, ids, "maps", "resid")

    def below(prefix):
        return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}

    stream = seen.resid[:, 0].double().numpy()  # (L + 1, T, C)
    start = weights["embedding.weight"][ids[0]] + row.embed(below("position."), t, 16)
    np.testing.assert_allclose(stream[0], start, atol=1e-6)
    for layer in range(2):
        w = below(f"blocks.{layer}.")
        x = stream[layer]
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        x = x * w["norm1.weight"] + w["norm1.bias"]
        q, k, _ = (x @ w["attention.qkv.weight"].T).reshape(t, 3, 2, 8).transpose(1, 2, 0, 3)
        scores = row.scores(q, k, x, below(f"blocks.{layer}.attention.position."), layer)
        scores = np.where(np.tri(t, dtype=bool), scores, -np.inf)
        a = np.exp(scores - scores.max(-1, keepdims=True))
        np.testing.assert_allclose(seen.maps[layer, 0].numpy(), a / a.sum(-1, keepdims=True), atol=2e-6)


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_the_fused_causal_kernel_is_used_unless_a_mask_is_needed(name, kind, monkeypatch):
    """In bf16 on a CPU, short sequences use plain matrix products, which apply their own mask."""
    calls = []
    real = F.scaled_dot_product_attention

    def noted(*tensors, **options):
        calls.append((options.get("is_causal", False), options.get("attn_mask") is not None))
        return real(*tensors, **options)

    monkeypatch.setattr(F, "scaled_dot_product_attention", noted)
    with torch.autocast("cpu", torch.bfloat16, enabled=kind == torch.bfloat16):
        small(ROWS[name].scheme)(torch.randint(11, (2, 16)))
    expected = [] if kind == torch.bfloat16 else [(not ROWS[name].mask, ROWS[name].mask)] * 2
    assert calls == expected


def test_a_bias_computed_on_the_cpu_moves_to_the_device_of_the_keys():
    class OnTheCPU(Position):
        def bias(self, offset, t_q, t_k):
            return torch.arange(t_k).float().expand(1, 1, t_k)

    attention = MultiHeadAttention(8, 2, OnTheCPU(8, 2, 6, 0)).to("meta")  # like a GPU, mixes no devices
    _, bias = attention.score_inputs(torch.empty(1, 2, 6, 4, device="meta"))
    assert bias.device.type == "meta"


@pytest.mark.parametrize("name", ROWS)
def test_beyond_the_trained_length(name):
    """Decoding with a cache equals a full pass; logits up to the trained length do not change; tables are refused."""
    row = ROWS[name]
    model = small(row.scheme).eval()
    ids = torch.randint(11, (2, 40))
    if row.ends:
        with pytest.raises(ValueError, match="the table of learned positions has only 16 vectors"):
            model.stretched(40)
        return
    for way in model.position.extension_methods:
        longer = model.stretched(40, way)
        assert longer.block_size == 40
        whole = longer(ids)
        if way == "as trained":
            torch.testing.assert_close(whole[:, :16], model(ids[:, :16]), atol=1e-5, rtol=1e-5)
        for first in (1, 7, 16, 17, 39):
            cache = longer.new_cache()
            pieces = [longer(part, cache) for part in (ids[:, :first], ids[:, first:])]
            torch.testing.assert_close(torch.cat(pieces, 1), whole, atol=2e-5, rtol=2e-5)
    with pytest.raises(ValueError, match="has no extension method 'other'; it has: as trained"):
        model.stretched(40, "other")
    assert model.block_size == 16, "the model itself is left alone"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_an_unknown_extension_method_is_refused(scheme):
    for layer in (None, 0):
        with pytest.raises(ValueError, match="has no extension method 'pull'"):
            scheme(16, 2, 12, layer).stretch(12, "pull")


def test_extension_methods_in_numbers():
    """Sources: Chen et al. 2023, eq. 3; bloc97, base 20452.2 and 41829.4 for d = 64; Peng et al. 2023, 0.1 ln s + 1."""
    theta = 10000.0 ** (-torch.arange(0, 64, 2).double() / 64)
    torch.testing.assert_close(EXTENSIONS["interpolate"](64, 1e4, 64, 4.0), (theta / 4, 1.0))
    for s, base in ((2.0, 20452.2), (4.0, 41829.4)):
        found, _ = EXTENSIONS["ntk"](64, 1e4, 64, s)
        assert found[1].item() == pytest.approx(base ** (-2 / 64), rel=1e-5)
        assert found[-1].item() == pytest.approx(theta[-1].item() / s, rel=1e-9), "the slowest pair is interpolated"
    for s, factor in ((2.0, 1.06931), (4.0, 1.13863), (8.0, 1.20794)):
        assert EXTENSIONS["yarn"](64, 1e4, 64, s)[1] == pytest.approx(factor, abs=1e-5)
    found, _ = EXTENSIONS["yarn"](64, 1e4, 4096, 4.0)
    turns = 4096 * theta / (2 * math.pi)
    torch.testing.assert_close(found[turns > 40], theta[turns > 40])
    torch.testing.assert_close(found[turns < 0.7], theta[turns < 0.7] / 4)
    assert ((found <= theta) & (found >= theta / 4)).all()


def test_extension_methods_equal_those_of_transformers():
    config = transformers.LlamaConfig(hidden_size=64, num_attention_heads=1, max_position_embeddings=512)
    config.rope_parameters = {"rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 512}
    for way, name in (("interpolate", "linear"), ("yarn", "yarn")):
        config.rope_parameters["rope_type"] = name
        theirs, factor = ROPE_INIT_FUNCTIONS[name](config, "cpu")
        ours, grows = EXTENSIONS[way](64, 1e4, 512, 4.0)
        torch.testing.assert_close(ours.float(), theirs)
        assert grows == pytest.approx(factor)


def test_one_number_per_key_is_exact_in_float64_and_in_bf16():
    """A bias as channels gives the same attention as a mask, also at distances where one bf16 number is inexact."""
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 1, 2, 600, 8).double()
    by_key = torch.tensor([[0.5], [0.0625]]).double() * torch.arange(600)
    bias = by_key[:, None]
    explicit = attention_weights(q, k, bias=bias) @ v
    torch.testing.assert_close(attention(q, k, v, bias=bias), explicit, atol=1e-12, rtol=0)
    wide_q, wide_k = _bias_as_channels(q.bfloat16(), k.bfloat16(), bias)
    assert wide_k.dtype == torch.bfloat16
    assert (wide_k[..., 8:10].double().sum(-1) == by_key).all()
    assert (wide_q[..., 10:].double().sum(-1) == -by_key).all()
    low = attention(q.bfloat16(), k.bfloat16(), v.bfloat16(), bias=bias.float())
    torch.testing.assert_close(low.double(), explicit, atol=0.03, rtol=0.03)
