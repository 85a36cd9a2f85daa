"""Circuits compared with their definition, and heads whose weights are set to copy."""

import math

import pytest
import torch

from headscope.heads import circuits
from headscope.heads.capture import look
from headscope.model.position import Position, Rotary
from tests.conftest import small


def model_without_norms():
    """Returns a model whose embeddings are ±1 with mean 0, so a LayerNorm only scales them and folding is exact."""
    model = small(Position, vocab_size=7, d_model=8, n_heads=2, n_layers=1, block_size=6)
    with torch.no_grad():
        signs = torch.tensor([[(-1.0) ** bin(a & b).count("1") for b in range(8)] for a in range(1, 8)])
        model.embedding.weight.copy_(signs)
        model.blocks[0].norm1.weight.uniform_(0.5, 2)
    return model.eval()


def test_the_ov_circuit_is_what_attending_to_a_token_does_to_the_logits():
    """With one layer and no feed-forward, a head's part of the unscaled logits is its map times the circuit."""
    model = model_without_norms()
    torch.nn.init.zeros_(model.blocks[0].feedforward.down.weight)
    torch.nn.init.uniform_(model.norm.weight, 0.5, 2)
    ids = torch.tensor([[3, 1, 6, 6, 0, 2]])
    seen = look(model, ids, "maps", "heads")
    circuit = circuits.ov_circuit(model, 0)
    assert circuit.shape == (2, 7, 7)
    for h in range(2):
        through = seen.maps[0, 0, h] @ circuit[h][ids[0]]  # (T, V)
        torch.testing.assert_close(seen.heads[0, 0, h] @ circuits.unembedding(model), through, atol=1e-4, rtol=1e-4)
    some = torch.tensor([5, 2])
    torch.testing.assert_close(circuits.ov_circuit(model, 0, some), circuit[:, some])


def test_the_qk_circuit_is_the_score_of_two_tokens():
    model = model_without_norms()
    ids = torch.tensor([[3, 1, 6, 6, 0, 2]])
    seen = look(model, ids, "queries", "keys")
    circuit = circuits.qk_circuit(model, 0)
    scores = seen.queries[0, 0] @ seen.keys[0, 0].transpose(-1, -2) * 4**-0.5  # (H, T, T)
    torch.testing.assert_close(circuit[:, ids[0]][:, :, ids[0]], scores, atol=1e-4, rtol=1e-4)


def test_circuits_equal_loops():
    """The loops compute each entry from the weights."""
    model = small(Rotary, vocab_size=5, d_model=8, n_heads=2, n_layers=2)
    torch.nn.init.uniform_(model.blocks[1].norm1.weight, 0.5, 2)
    torch.nn.init.uniform_(model.norm.weight, 0.5, 2)
    w = {k: v.double() for k, v in model.state_dict().items()}
    qkv = w["blocks.1.attention.qkv.weight"]
    for h in range(2):
        rows = [slice(part * 8 + 4 * h, part * 8 + 4 * h + 4) for part in range(3)]
        w_o = w["blocks.1.attention.out.weight"][:, 4 * h : 4 * h + 4]  # (C, D)
        for a in range(5):
            read = [(e - e.mean()) * w["blocks.1.norm1.weight"] for e in w["embedding.weight"]]
            written = w_o @ (qkv[rows[2]] @ read[a])
            logits = w["head.weight"] @ (w["norm.weight"] * (written - written.mean()))
            torch.testing.assert_close(circuits.ov_circuit(model, 1)[h, a].double(), logits, atol=1e-5, rtol=1e-4)
            for b in range(5):
                score = (qkv[rows[0]] @ read[a]) @ (qkv[rows[1]] @ read[b]) / 2
                torch.testing.assert_close(circuits.qk_circuit(model, 1)[h, a, b].double(), score, atol=1e-5, rtol=1e-4)


def test_the_eigenvalue_score_is_that_of_the_whole_circuit():
    model = small(vocab_size=9)
    whole = torch.linalg.eigvals(circuits.ov_circuit(model, 1).double())  # (H, V)
    expected = whole.real.sum(-1) / whole.abs().sum(-1)
    torch.testing.assert_close(circuits.ov_eigenvalue_score(model, 1), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_head_made_to_copy_copies(sign):
    """W_V W_O is ±1 times the identity and W_U the transposed embedding: attending to a token changes its logit."""
    model = small(vocab_size=7, d_model=8, n_heads=1, n_layers=1)
    with torch.no_grad():
        model.embedding.weight.copy_(model_without_norms().embedding.weight)
        model.blocks[0].attention.qkv.weight[16:] = torch.eye(8)
        model.blocks[0].attention.out.weight.copy_(sign * torch.eye(8))
        model.head.weight.copy_(model.embedding.weight)
    assert circuits.ov_eigenvalue_score(model, 0).item() == pytest.approx(sign)
    assert circuits.copying(model, 0).item() == max(sign, 0)
    assert circuits.copying(model, 0, torch.tensor([2, 5])).item() == max(sign, 0)
    assert circuits.copying(model, 0, top=7).item() == 1


def test_a_head_that_writes_nothing_copies_nothing():
    model = small()
    torch.nn.init.zeros_(model.blocks[0].attention.out.weight)
    assert circuits.copying(model, 0).tolist() == [0, 0]
    assert all(map(math.isnan, circuits.ov_eigenvalue_score(model, 0).tolist()))


def test_copying_equals_a_loop():
    model = small(vocab_size=9)
    circuit = circuits.ov_circuit(model, 1)
    for top in (1, 3):
        ranks = [[sorted(row.tolist(), reverse=True).index(row[v]) for v, row in enumerate(c)] for c in circuit]
        expected = [sum(r < top for r in rank) / 9 for rank in ranks]
        assert circuits.copying(model, 1, top=top).tolist() == pytest.approx(expected)


def test_the_strongest_entries():
    circuit = torch.tensor([[0.0, 3.0, 1.0], [2.0, -5.0, 0.5]])
    assert circuits.strongest(circuit, 2) == [(0, 1, 3.0), (1, 0, 2.0)]
    assert len(circuits.strongest(circuit, 99)) == 6
