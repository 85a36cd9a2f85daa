"""Random texts that repeat, each with its own period."""

import pytest
import torch

from headscope.heads.probes import predictable, repeated_probe


@pytest.mark.parametrize("t", [4, 7, 64])
def test_every_text_repeats_with_its_own_period(t):
    ids = repeated_probe(1000, t, 40, seed=3)
    assert ids.shape == (40, t)
    periods = [next(p for p in range(1, t) if torch.equal(row[p:], row[:-p])) for row in ids]
    assert set(periods) <= set(range(t // 4 + 1, t // 2 + 1))
    assert len(set(periods)) == min(40, t // 2 - t // 4)
    assert not {2 * p for p in periods} & set(periods)  # otherwise one distance would fit two periods
    known = predictable(ids)
    for row, p in zip(known, periods, strict=True):
        assert row[p:].all()  # every token after the first period is predictable


def test_the_seed_makes_the_texts():
    assert torch.equal(repeated_probe(65, 32, 4, 1), repeated_probe(65, 32, 4, 1))
    assert not torch.equal(repeated_probe(65, 32, 4, 1), repeated_probe(65, 32, 4, 2))
    state = torch.random.get_rng_state()
    repeated_probe(65, 32, 4, 1)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_foreseeable_equals_a_loop():
    ids = torch.randint(3, (4, 9))
    for b, row in enumerate(ids.tolist()):
        expected = [any(row[s : s + 2] == row[t : t + 2] for s in range(t)) for t in range(8)]
        assert predictable(ids)[b].tolist() == expected


def test_a_text_too_short_to_repeat_is_refused():
    with pytest.raises(ValueError, match="at least 4 tokens, not 3"):
        repeated_probe(65, 3, 1)
