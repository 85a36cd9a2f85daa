"""Rules that are fitted to constructed maps: patterns, mixtures and classes are found; random heads get no pattern."""

import pytest
import torch

from headscope.data.tokenizers import CharTokenizer
from headscope.heads import fitting, look
from headscope.heads.gains import distinct, gains
from headscope.heads.patterns import Text, marks, patterns_of
from headscope.heads.token_classes import Vocabulary
from headscope.model.transformer import TransformerLM
from tests.conftest import SCHEMES, small
from tests.heads import made
from tests.heads.texts import characters, dense, tokenized

B, T = 16, 40
IDS, VOCABULARY = dense(B, T)
UNSEEN, _ = dense(8, T, seed=1)
PATTERNS = patterns_of(VOCABULARY)
PARTS = made.parts(IDS, VOCABULARY)
EVEN = "all earlier tokens"  # a profile over distances can be even too


@pytest.fixture(scope="module", autouse=True)
def only_readable():
    """Saves time: these tests do not read the full rule."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(fitting.STEPS, "full", 1)
        yield


def fit(maps, ids=IDS, vocabulary=VOCABULARY):
    seen = made.observed(ids, vocabulary, maps)
    return fitting.fit(seen, patterns_of(vocabulary), len(vocabulary.text))


def error(ours, theirs):
    """Returns the mean absolute error of the rows, Σⱼ |A - A'|."""
    return (ours - theirs).abs().sum(-1).mean().item()


def named(rule):
    """Returns the weights, where an even profile counts as "all earlier tokens"."""
    weights = {name: w for name, w in rule.weights.items() if name != EVEN}
    return weights | {"place": weights.get("place", 0) + rule.weights.get(EVEN, 0)}


@pytest.fixture(scope="module")
def alone():
    """The rules of heads that follow one pattern each, by the pattern's name."""
    maps = torch.stack([made.mixed({name: 1.0}, PARTS) for name in PATTERNS])
    return dict(zip(PATTERNS, fit(maps).rules, strict=True))


@pytest.mark.parametrize("name", PATTERNS)
def test_a_pattern_alone_is_found(alone, name):
    rule = alone[name]
    assert rule.weights[name] == max(rule.weights.values()) >= 0.97
    for ids, bound in ((IDS, 0.01), (UNSEEN, 0.02)):
        expected = made.mixed({name: 1.0}, made.parts(ids, VOCABULARY))
        assert error(rule.map(ids, VOCABULARY), expected) <= bound


MIXTURES = [
    {"place": 0.6, "the last newline": 0.4},
    {"place": 0.7, "the same token": 0.3},
    {"place": 0.6, "the same pair of tokens": 0.4},
    {"place": 0.4, "the first token": 0.6},
    {"the first token": 0.7, "the token after the same token": 0.3},
    {"the first token": 0.8, "the token after the same pair": 0.2},
    {"all consonants": 0.6, "the last vowel": 0.4},
    {"this line": 0.5, "the open bracket or quotation mark": 0.5},
    {"the start of the sentence": 0.6, "the start of the paragraph": 0.4},
    {EVEN: 0.4, "this word": 0.6},
    {"the last digit": 0.5, "the token after the same token": 0.3, "the start of the line": 0.2},
    {"place": 0.5, "the last digit": 0.3, "all capitals": 0.2},
    {"the end of the previous word": 0.5, "the last vowel": 0.3, "the last letter": 0.2},
    {"the start of the word": 0.5, "all spaces": 0.3, "all digits": 0.2},
    {"place": 0.5, "the last consonant": 0.3, "the same column in the line above": 0.2},
    {"place": 0.3, "the start of the previous word": 0.4, "the last punctuation mark": 0.3},
]


@pytest.fixture(scope="module")
def mixtures():
    return fit(torch.stack([made.mixed(weights, PARTS) for weights in MIXTURES]))


@pytest.mark.parametrize("i", range(len(MIXTURES)))
def test_the_weights_of_a_mixture_are_found(mixtures, i):
    rule, expected = named(mixtures.rules[i]), dict(MIXTURES[i])
    expected["place"] = expected.get("place", 0) + expected.pop(EVEN, 0)
    for name in rule.keys() | expected.keys():
        assert rule.get(name, 0) == pytest.approx(expected.get(name, 0), abs=0.03), name


@pytest.mark.parametrize("i", range(len(MIXTURES)))
def test_shares_are_the_attention_that_each_pattern_explains(mixtures, i):
    """A pattern's part of a real row is known if the mixture is known. Close patterns share their part before the fit
    has converged, so the bound is wider than that of the weights.
    """
    total = sum(w * PARTS[name] for name, w in MIXTURES[i].items()).sum(-1, keepdim=True)
    shares = dict(zip(["place", *PATTERNS], mixtures.shares[i].tolist(), strict=True))
    assert sum(shares.values()) == pytest.approx(1, abs=1e-3)
    for name, weight in MIXTURES[i].items():
        if name not in ("place", EVEN):
            expected = torch.where(total > 0, weight * PARTS[name] / total.clamp(min=1e-9), 0).sum(-1).mean().item()
            assert shares[name] == pytest.approx(expected, abs=0.05), name


PREFERENCES = [
    ("vowel", "consonant", [2.0] * 6),
    ("letter", "space", [1.0] * 6),
    ("vowel", "vowel", [0.0, 0.0, 2.0, 2.0, 0.0, 0.0]),
    ("digit", "punctuation mark", [1.5] * 6),
]


@pytest.fixture(scope="module")
def preferring():
    maps = torch.stack([made.preferring(IDS, VOCABULARY, *preference) for preference in PREFERENCES])
    return maps, fit(maps).rules


@pytest.mark.parametrize("i", range(len(PREFERENCES)))
def test_the_classes_of_a_head_that_prefers_one_are_found(preferring, i):
    maps, rules = preferring[0], preferring[1]
    query, key, strengths = PREFERENCES[i]
    q, k = (2 * VOCABULARY.classes[name].int() - 1 for name in (query, key))
    strongest = rules[i].queries[:, 0], rules[i].keys[:, 0], rules[i].strengths[0]
    used = torch.bincount(IDS.flatten(), minlength=len(q)) > 0
    sign = int(strongest[0][used][0] * q[used][0]) * int(strongest[1][used][0] * k[used][0])
    assert strongest[0].abs().equal(q.abs())
    assert (strongest[0] * q)[used].unique().numel() == (strongest[1] * k)[used].unique().numel() == 1
    torch.testing.assert_close(sign * strongest[2][2:], torch.tensor(strengths)[2:], atol=0.2, rtol=0.1)
    assert error(rules[i].map(IDS, VOCABULARY), maps[i]) <= 0.01


def false_names(maps, ids, vocabulary):
    """Returns how many of the heads have a rule with a pattern that is not even attention."""
    return sum(named(rule).keys() != {"place"} for rule in fit(maps, ids, vocabulary).rules)


@pytest.mark.parametrize("sharpness", [1.0, 6.0])
def test_random_maps_get_no_pattern(monkeypatch, sharpness):
    skip_content(monkeypatch)
    assert false_names(made.random_maps(40, B, T, sharpness), IDS, VOCABULARY) <= 2


def skip_content(monkeypatch):
    """Saves time: patterns are chosen before the content terms are fitted."""
    for stage in ("terms", "classes", "strengths"):
        monkeypatch.setitem(fitting.STEPS, stage, 1)


@pytest.mark.slow
def test_at_most_5_percent_of_1000_heads_without_a_pattern_get_one(monkeypatch):
    """Random maps, and the heads of untrained models of all positional schemes with two sizes of random weights."""
    skip_content(monkeypatch)
    ids, vocabulary = characters(16, 48)
    found = total = 0
    for seed, sharpness in enumerate((0.5, 1.0, 2.0, 3.0, 4.0, 6.0)):
        found += false_names(made.random_maps(40, *ids.shape, sharpness, seed), ids, vocabulary)
        total += 40
    for scheme in SCHEMES:
        for seed in range(2):
            size = {"vocab_size": len(vocabulary.text), "d_model": 64, "n_heads": 8, "n_layers": 2, "block_size": 48}
            torch.manual_seed(seed)
            for model in (
                TransformerLM(**size, dropout=0.0, position=scheme.values[0]),
                small(scheme.values[0], **size, seed=seed),
            ):
                maps = look(model, ids, "maps").maps.transpose(1, 2).flatten(0, 1)  # (L H, B, T, T)
                found += false_names(maps, ids, vocabulary)
                total += len(maps)
    assert total >= 1000
    assert found <= 0.05 * total


def test_the_gain_of_a_rare_pattern_counts_the_rows_in_which_it_marks_a_key():
    rows = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    rows[0, 0, 3, 0] = True  # one row of four, one key of four
    assert gains(torch.tensor([[0.8, 0.2]]), rows, ["structure"]).item() == pytest.approx(0.2 * 4 * 3 / 4)
    assert gains(torch.tensor([[0.8, 0.2]]), rows, ["place"]).item() == pytest.approx(0.2 * 4)


def test_a_pattern_that_marks_nearly_every_key_gains_little():
    rows = torch.ones(1, 2, 4, 4, dtype=torch.bool).tril()
    assert gains(torch.tensor([[0.1, 0.9]]), rows, ["structure"]).item() == pytest.approx(0, abs=1e-6)
    assert gains(torch.tensor([[0.1, 0.9]]), rows, ["place"]).item() == pytest.approx(0.9)
    assert gains(torch.tensor([[1.0, 0.0]]), rows & False, ["structure"]).item() == 0


def test_a_token_outside_the_texts_of_the_fit_is_in_no_class():
    vocabulary = Vocabulary([*VOCABULARY.text, "x", "Y", "?"])
    maps = made.preferring(IDS, VOCABULARY, "vowel", "consonant", [2.0] * 6)[None]
    (rule,) = fit(maps, IDS, vocabulary).rules
    assert rule.queries.shape[1] > 0
    assert rule.queries[-3:].count_nonzero() == rule.keys[-3:].count_nonzero() == 0


def names_of_distinct(texts):
    ids = torch.cat([tokenized(CharTokenizer.of(["".join(texts)], 0), text)[0] for text in texts])
    vocabulary = tokenized(CharTokenizer.of(["".join(texts)], 0), texts[0])[1]
    patterns = patterns_of(vocabulary)
    rows = torch.stack([marks(p, Text(ids, vocabulary)) for p in patterns.values()])
    return {name for name, is_distinct in zip(patterns, distinct(rows).tolist(), strict=True) if is_distinct}


def test_patterns_that_mark_the_same_keys_count_once():
    """In a text of letters, the first token is the start of everything, and no key is in a line above."""
    found = names_of_distinct(["abcadb", "bacbad"])
    starts = {f"the start of the {x}" for x in ("word", "line", "sentence", "paragraph")}
    assert "the first token" in found
    assert not found & (starts | {"this word", "this line", "the same column in the line above"})
    assert names_of_distinct(["ab cd.", "ef\nab "]) >= {"the first token", "the start of the word", "this word"}


def test_a_head_on_the_first_token_of_texts_of_letters_gets_one_pattern():
    random = torch.Generator().manual_seed(0)
    ids = torch.randint(12, (8, 24), generator=random)
    ids[:, 1] = (ids[:, 0] + 1) % 12
    vocabulary = Vocabulary([*"abcdefghijkl"])
    maps = made.mixed({"the first token": 1.0}, made.parts(ids, vocabulary))[None]
    (rule,) = fit(maps, ids, vocabulary).rules
    assert rule.weights["the first token"] >= 0.97
