"""Rules equal loops over queries and keys, and merged rules predict the same maps."""

import math

import pytest
import torch

from headscope.heads.patterns import Text, marks, patterns_of
from headscope.heads.rules import BANDS, FLOOR, Rule, distance_bands, distance_bins, place_rows
from tests.heads.texts import dense, marked_keys

IDS, VOCABULARY = dense(2, 24)
V, T = len(VOCABULARY.text), IDS.shape[1]
RANDOM = torch.Generator().manual_seed(0)
PLACE = torch.randn(int(distance_bins(T)[-1]) + 1, generator=RANDOM)


def rule(weights=None, terms=2, seed=0):
    random = torch.Generator().manual_seed(seed)
    queries, keys = torch.randint(-1, 2, (2, V, terms), generator=random, dtype=torch.int8)
    return Rule(PLACE, weights or {"place": 1.0}, queries, keys, torch.randn(terms, len(BANDS), generator=random))


def by_loops(rule, ids):
    """Returns the map (T, T) of one text from the formula in the module's docstring."""
    patterns = patterns_of(VOCABULARY)
    keys = {
        name: marked_keys(marks(patterns[name], Text(ids[None], VOCABULARY))[0])
        for name in rule.weights
        if name != "place"
    }
    found = torch.zeros(T, T)
    for i in range(T):
        places = [math.exp(rule.place[distance_bins(T)[i - j]]) for j in range(i + 1)]
        for j in range(i + 1):
            mixed = rule.weights["place"] * places[j] / sum(places)
            for name, marked in keys.items():
                mixed += rule.weights[name] * (j in marked[i]) / max(len(marked[i]), 1)
            band = max(b for b, smallest in enumerate(BANDS) if i - j >= smallest)
            score = sum(
                rule.strengths[r, band] * int(rule.queries[ids[i], r]) * int(rule.keys[ids[j], r])
                for r in range(rule.queries.shape[1])
            )
            found[i, j] = (mixed + FLOOR) * math.exp(score)
    return found / found.sum(-1, keepdim=True)


WEIGHTS = {"place": 0.3, "this word": 0.4, "the same token": 0.2, "all vowels": 0.1}


@pytest.mark.parametrize(("weights", "terms"), [(None, 0), (None, 2), (WEIGHTS, 0), (WEIGHTS, 3)])
def test_maps_equal_the_formula(weights, terms):
    ours = rule(weights, terms)
    for ids, found in zip(IDS, ours.map(IDS, VOCABULARY), strict=True):
        torch.testing.assert_close(found, by_loops(ours, ids), atol=1e-5, rtol=1e-4)


def test_far_distances_share_bins_and_bands():
    bins, bands = distance_bins(300).tolist(), distance_bands(300).tolist()
    assert bins[:34] == [*range(33), 32]  # from 32 on, a bin has the distances of a quarter of an octave
    assert bins[63:66] == [35, 36, 36]
    assert bins[128] == 40
    assert [bands[d] for d in (0, 1, 2, 3, 4, 5, 8, 9, 299)] == [0, 1, 2, 3, 3, 4, 4, 5, 5]


def test_place_rows_sum_to_one():
    rows = place_rows(PLACE[None], T)
    torch.testing.assert_close(rows.sum(-1), torch.ones(1, T))
    assert rows.triu(1).count_nonzero() == 0


def repeated(original, signs):
    """Returns a rule that divides each term into several whose classes have these signs."""
    n = len(signs)
    queries, keys = (torch.cat([x * sign for sign in signs], 1) for x in (original.queries, original.keys))
    return Rule(original.place, original.weights, queries, keys, original.strengths.repeat(n, 1) / n)


@pytest.mark.parametrize("signs", [(1, 1), (1, -1), (-1, -1, 1)])
def test_merged_terms_predict_the_same_map(signs):
    original = rule(WEIGHTS, 2)
    several = repeated(original, signs)
    merged = several.merged()
    assert merged.queries.shape[1] == 2
    assert merged.queries.dtype == merged.keys.dtype == torch.int8
    torch.testing.assert_close(merged.map(IDS, VOCABULARY), original.map(IDS, VOCABULARY))
    sizes = merged.strengths.abs().amax(1).tolist()
    assert sizes == sorted(sizes, reverse=True)


def test_terms_that_cancel_each_other_or_are_weak_are_left_out():
    one = rule(WEIGHTS, 1)
    cancelled = Rule(
        one.place,
        one.weights,
        torch.cat((one.queries, one.queries), 1),
        torch.cat((one.keys, -one.keys), 1),
        one.strengths.repeat(2, 1),
    )
    for unneeded in (cancelled, Rule(one.place, one.weights, one.queries, one.keys, one.strengths * 1e-3)):
        merged = unneeded.merged()
        assert merged.queries.shape == merged.keys.shape == (V, 0)
        assert merged.strengths.shape == (0, len(BANDS))
        torch.testing.assert_close(merged.map(IDS, VOCABULARY), unneeded.map(IDS, VOCABULARY), atol=1e-2, rtol=0)
