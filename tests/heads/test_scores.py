"""Scores of maps, compared with exact values, loops and hand-made maps; every score is in its range.

With the harmonic number H_T, uniform causal attention scores H_T / T, (H_T - 1) / (T - 1) and (T - 1) / 4.
"""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headscope.heads import look, scores
from tests.conftest import SCHEMES, small
from tests.heads import reference as ref

UNIFORM = {  # T: scores of sink, previous token and distance
    8: (0.33973, 0.24541, 1.75),
    64: (0.07412, 0.05943, 15.75),
    256: (0.02392, 0.02010, 63.75),
}
IDS = torch.randint(5, (3, 12), generator=torch.Generator().manual_seed(2))
MAPS = ref.random_maps(3, 2, t=12)
ON_MAPS = (scores.previous_token, scores.local, scores.evenness)
ON_IDS = (scores.duplicate_token, scores.induction, scores.sink)


def close(ours, theirs):
    torch.testing.assert_close(ours, torch.tensor(theirs, dtype=ours.dtype), equal_nan=True)


@pytest.mark.parametrize("t", UNIFORM)
def test_uniform_attention_has_its_exact_values(t):
    maps = ref.uniform_head(t).expand(2, 3, t, t)
    sink, previous, distance = UNIFORM[t]
    for ours, theirs in (
        (scores.sink(maps, torch.arange(t).expand(2, t)), sink),
        (scores.previous_token(maps), previous),
        (scores.distance(maps), distance),
    ):
        torch.testing.assert_close(ours, torch.full((3,), theirs), atol=6e-6, rtol=0)
    torch.testing.assert_close(scores.evenness(maps), torch.ones(3))
    expected = sum(5 / (i + 1) for i in range(5, t)) / (t - 5)
    torch.testing.assert_close(scores.local(maps), torch.full((3,), expected))
    torch.testing.assert_close(scores.uniform(maps), maps)


def test_position_scores_equal_loops():
    close(scores.previous_token(MAPS), ref.over_rows(MAPS, lambda b, i: [i - 1] if i else []))
    for near in (0, 2, 11, 12):
        theirs = ref.over_rows(MAPS, lambda b, i, near=near: range(i - near, i + 1) if i > near else [])
        close(scores.local(MAPS, near), theirs)


def test_token_scores_equal_loops():
    ids = IDS.tolist()
    close(
        scores.duplicate_token(MAPS, IDS),
        ref.over_rows(MAPS, lambda b, i: [j for j in range(i) if ids[b][j] == ids[b][i]]),
    )
    close(
        scores.induction(MAPS, IDS),
        ref.over_rows(MAPS, lambda b, i: [j for j in range(1, i) if ids[b][j - 1] == ids[b][i]]),
    )


def run_of_first_tokens(row):
    """Returns the positions at the beginning of a text that have the first token, from position 0 on."""
    return list(itertools.takewhile(lambda j: row[j] == row[0], range(len(row))))


@pytest.mark.parametrize("length", [1, 2, 5, 12])
def test_a_sink_is_all_equal_first_tokens(length):
    ids = IDS.clone()
    ids[:, 0] = 7  # a token that does not occur elsewhere
    ids[1, :length] = 7
    assert len(run_of_first_tokens(ids[1].tolist())) == length
    theirs = ref.over_rows(MAPS, lambda b, i: [j for j in run_of_first_tokens(ids[b].tolist()) if j <= i])
    close(scores.sink(MAPS, ids), theirs)


def test_a_sink_that_divides_its_weight_among_equal_first_tokens_scores_as_high_as_before():
    """This is the map of a sink if the residual streams of the first two positions are equal."""
    ids = torch.tensor([[3, 3, 1, 4, 3, 3]])
    maps = torch.zeros(1, 1, 6, 6)
    maps[..., 0, 0] = 1
    maps[..., 1:, :2] = 0.5
    assert scores.sink(maps, ids).item() == 1
    assert scores.sink(maps, torch.tensor([[3, 1, 1, 4, 3, 3]])).item() == pytest.approx(3.5 / 6)
    assert scores.sink(maps, torch.tensor([[3, 1, 3, 3, 3, 3]])).item() == pytest.approx(3.5 / 6), "later copies"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_equal_first_tokens_have_equal_streams_without_vectors_for_positions(scheme):
    """So a model cannot tell which of these tokens is the first, and a sink attends to all of them equally."""
    model = small(scheme, n_layers=3).double()
    resid = look(model, torch.tensor([[4, 4, 4, 1, 4, 2]]), "resid").resid[:, 0]  # (L + 1, T, C)
    are_equal = torch.allclose(resid[:, :1], resid[:, 1:3], atol=1e-4)
    assert are_equal == (model.position.table() is None)
    assert not torch.allclose(resid[1:, 0], resid[1:, 4], atol=1e-2), "a later copy sees other tokens"


def test_evenness_and_distance_equal_loops():
    even, far = [], []
    for h in range(2):
        rows = [[float(a) for a in MAPS[b, h, i, : i + 1]] for b in range(3) for i in range(12)]
        nats = [-sum(a * math.log(a) for a in row) for row in rows]
        even.append([n / math.log(len(row)) for n, row in zip(nats, rows, strict=True) if len(row) > 1])
        far.append([sum(a * (len(row) - 1 - j) for j, a in enumerate(row)) for row in rows])
    for ours, theirs in ((scores.evenness, even), (scores.distance, far)):
        close(ours(MAPS), [sum(x) / len(x) for x in theirs])


def test_profiles_equal_loops():
    profile = scores.distance_profile(MAPS)
    for h in range(2):
        for d in range(12):
            close(
                profile[h, d], sum(float(MAPS[b, h, i, i - d]) for b in range(3) for i in range(d, 12)) / 3 / (12 - d)
            )


def test_leading_axes_are_kept():
    stacked = torch.stack((MAPS, ref.random_maps(3, 2, t=12, seed=1)))
    for score in (*ON_MAPS, scores.distance):
        torch.testing.assert_close(score(stacked)[0], score(MAPS))
    for score in ON_IDS:
        torch.testing.assert_close(score(stacked, IDS)[0], score(MAPS, IDS))
    assert scores.distance_profile(stacked).shape == (2, 2, 12)


@pytest.mark.parametrize("t", [8, 64, 256])
@pytest.mark.parametrize("rest", [0, 1])
def test_heads_made_by_hand_score_exactly_one(t, rest):
    ids = (torch.arange(t) % (t // 2 - 1))[None]
    assert scores.previous_token(ref.previous_head(t)[None, None]).item() == 1
    assert scores.sink(ref.sink_head(t)[None, None], ids).item() == 1
    assert scores.local(ref.previous_head(t)[None, None]).item() == 1
    assert scores.duplicate_token(ref.duplicate_head(ids[0], rest)[None, None], ids).item() == 1
    assert scores.induction(ref.induction_head(ids[0], rest)[None, None], ids).item() == 1
    assert scores.induction(ref.duplicate_head(ids[0])[None, None], ids).item() == 0
    assert scores.duplicate_token(ref.induction_head(ids[0])[None, None], ids).item() == 0


def test_a_score_without_a_row_that_could_is_nan():
    ids = torch.arange(4)[None]
    maps = ref.random_maps(1, 1, t=4)
    assert scores.induction(maps, ids).isnan().all()
    assert scores.duplicate_token(maps, ids).isnan().all()
    assert scores.local(maps).isnan().all()
    assert scores.previous_token(maps[..., :1, :1]).isnan().all()


def test_a_token_that_stands_twice_is_no_induction_onto_itself():
    ids = torch.tensor([[3, 3]])
    itself = torch.eye(2)[None, None]
    assert scores.induction(itself, ids).isnan().all()


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 12), st.integers(1, 6), st.floats(0, 60), st.integers(0, 2**31))
def test_no_score_of_any_map_leaves_its_range(t, vocab, sharpness, seed):
    maps = ref.random_maps(2, 3, t=t, seed=seed, sharpness=sharpness).float()
    ids = torch.randint(vocab, (2, t), generator=torch.Generator().manual_seed(seed))
    found = [score(maps) for score in ON_MAPS] + [score(maps, ids) for score in ON_IDS]
    found += [scores.distance(maps) / (t - 1), scores.distance_profile(maps)]
    for values in found:
        inside = values[~values.isnan()]
        assert ((inside >= 0) & (inside <= 1 + 1e-6)).all()
