"""Random texts that repeat, each with its own period."""

import pytest
import torch

from headscope.data.tokenizers import CharTokenizer, LineTokenizer, WordTokenizer
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


@pytest.mark.parametrize("vocab", [2, 3, 65])
def test_no_text_begins_with_the_same_token_twice(vocab):
    """A sink divides its weight among equal first tokens."""
    ids = repeated_probe(vocab, 16, 2000)
    assert (ids[:, 0] != ids[:, 1]).all()
    assert set(ids[:, 0].tolist()) == set(ids[:, 1].tolist()) == set(range(vocab))


def test_special_tokens_do_not_occur():
    for special in ((), (0,), (3, 7), range(1, 65)):
        found = set(repeated_probe(66, 64, 100, special=special).flatten().tolist())
        assert found == set(range(66)) - set(special)
    every_token = set(repeated_probe(4, 64, 100, special=(0, 1, 2)).flatten().tolist())
    assert every_token == {0, 1, 2, 3}, "one ordinary token cannot make a text"
    assert repeated_probe(1, 8, 2).tolist() == [[0] * 8] * 2


@pytest.mark.parametrize(
    ("tokenizer", "special"),
    [
        (CharTokenizer(vocab=list("ab\n")), []),
        (LineTokenizer(vocab=list("ab\n")), [2]),
        (WordTokenizer(vocab=["cats", "<eos>", "love", "<pad>"]), [1, 3]),
    ],
)
def test_every_tokenizer_names_its_special_tokens(tokenizer, special):
    assert tokenizer.special == special


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
