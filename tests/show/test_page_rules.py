"""The page predicts the same attention maps from rules as Python, and computes the same losses with them.

Shapes: B texts, T positions, V vocabulary, L layers, H heads.
"""

import json
import math
import random

import pytest
import torch

from headscope.data.tokenizers import BytePairTokenizer, CharTokenizer, WordTokenizer
from headscope.heads import Replace, Scale, look
from headscope.heads.ablation import losses
from headscope.heads.capture import heads_at
from headscope.heads.patterns import patterns_of
from headscope.heads.rules import distance_bins
from headscope.model.feedforward import SwiGLU
from headscope.model.mlp import FixedContextMLP
from headscope.model.position import ALiBi, Rotary
from headscope.model.qk_norm import Unit
from headscope.model.transformer import TransformerLM
from headscope.show.page import page
from headscope.show.request import ShowRequest
from tests.conftest import small
from tests.show.random_rules import describe_all, described, random_rule, vocabulary_of
from tests.show.test_page_runs import close, request

pytestmark = pytest.mark.browser
T = 48
#: Words of several tokens, lines, nested and open brackets, quotations, digits, capitals, tokens that repeat.
CORPUS = (
    "the cat (and [a] dog) sat\non The mat: f(x, g[y])\n    f(x, z)\n\n\n“Quote «in» quote” 12 + 3 = 15.\naa aa aa\n"
    "  if b: {c}\n  if d: {e}\n)] unopened ((( open é Ωmega на день 日本\n"
    'He said "so (it) [is". Then? Yes! 3.14 is pi.size; A_b.\n \nNew part. 日本。東京「あ」！ ok… end.”  \n\n NEW.\n'
) * 3


def tokenizers():
    return {
        "characters": CharTokenizer(vocab=sorted(set(CORPUS))),
        "words": WordTokenizer.of([CORPUS], 300),
        "byte pairs": BytePairTokenizer.of([CORPUS], 330),
        "no newline, no class": CharTokenizer(vocab=list("abc")),
    }


def texts(tokenizer):
    """Returns parts of the corpus, and random tokens of a few kinds so that they repeat."""
    draw = random.Random(0)
    if len(tokenizer) > 10:
        ids = tokenizer.encode(CORPUS).tolist()
        for _ in range(4):
            start = draw.randrange(len(ids) - 2)
            yield ids[start : start + T]
    yield from ([3 % len(tokenizer)] * 5, [0])
    for few in (2, 5, len(tokenizer)):
        known = draw.sample(range(len(tokenizer)), min(few, len(tokenizer)))
        yield draw.choices(known, k=draw.randrange(2, T + 1))


def opened(tab, model, tokenizer, descriptions, path, **about):
    """Opens the page of a model with descriptions, and waits until the page is ready."""
    asked = ShowRequest(model, tokenizer, "", path, about)
    path.write_text(page(asked, full_precision=True, descriptions=descriptions), encoding="utf-8")
    tab.open(path)
    tab.run("modules.page.settled().then(() => true)")


def predicted_map(tab, ids, layer, head):
    found = request(tab, "predictedMap", ids, layer=layer, head=head)["map"]
    return torch.tensor(found).view(len(ids), len(ids))


@pytest.mark.parametrize("kind", tokenizers())
def test_predicted_maps_equal_those_of_python(tab, kind, tmp_path):
    tokenizer = tokenizers()[kind]
    model = small(vocab_size=len(tokenizer), n_heads=4, block_size=T).eval()
    vocabulary = vocabulary_of(tokenizer)
    descriptions = describe_all(model, tokenizer)
    descriptions[1] = described(0, 1, random_rule(vocabulary, T, 1, names=[], terms=0))
    opened(tab, model, tokenizer, descriptions, tmp_path / "page.html")
    for ids in texts(tokenizer):
        for d in descriptions:
            wanted = d.rule.map(torch.tensor([ids]), vocabulary)[0]
            assert (predicted_map(tab, ids, d.layer, d.head) - wanted).abs().max() < 1e-5, (d.layer, d.head)


@pytest.mark.parametrize("kind", ["characters", "byte pairs"])
def test_each_pattern_alone_equals_that_of_python(tab, kind, tmp_path):
    tokenizer = tokenizers()[kind]
    vocabulary = vocabulary_of(tokenizer)
    names = list(patterns_of(vocabulary))
    model = small(
        vocab_size=len(tokenizer), d_model=4 * len(names), n_heads=len(names), n_layers=1, block_size=T
    ).eval()
    descriptions = [described(0, h, random_rule(vocabulary, T, h, [name], 0)) for h, name in enumerate(names)]
    opened(tab, model, tokenizer, descriptions, tmp_path / "page.html")
    used = torch.zeros(len(names))
    for ids in texts(tokenizer):
        for h, name in enumerate(names):
            wanted = descriptions[h].rule.map(torch.tensor([ids]), vocabulary)[0]
            assert (predicted_map(tab, ids, 0, h) - wanted).abs().max() < 1e-5, name
            without = random_rule(vocabulary, T, h, [], 0).map(torch.tensor([ids]), vocabulary)[0]
            used[h] = max(used[h], (wanted - without).abs().max())
    assert (used > 0.01).all(), "each pattern finds keys in the texts"


def test_bins_of_far_distances_equal_those_of_python(tab, tmp_path):
    t = 600
    tokenizer = tokenizers()["characters"]
    model = small(vocab_size=len(tokenizer), n_layers=1, block_size=t).eval()
    rule = random_rule(vocabulary_of(tokenizer), t, 0, [], 2)
    assert len(rule.place) == distance_bins(t)[-1] + 1
    opened(tab, model, tokenizer, [described(0, 0, rule)], tmp_path / "page.html")
    ids = torch.randint(len(tokenizer), (1, t), generator=torch.Generator().manual_seed(0))
    wanted = rule.map(ids, vocabulary_of(tokenizer))[0]
    assert (predicted_map(tab, ids[0].tolist(), 0, 0) - wanted).abs().max() < 1e-5


@pytest.mark.parametrize("fitted", [1, 16, 40])
def test_a_rule_for_shorter_texts_predicts_longer_ones(tab, fitted, tmp_path):
    tokenizer = tokenizers()["characters"]
    model = small(vocab_size=len(tokenizer), n_layers=1, block_size=T).eval()
    rule = random_rule(vocabulary_of(tokenizer), fitted, 0)
    opened(tab, model, tokenizer, [described(0, 0, rule)], tmp_path / "page.html")
    ids = tokenizer.encode(CORPUS[:T])[None]
    wanted = rule.map(ids, vocabulary_of(tokenizer))[0]
    assert (predicted_map(tab, ids[0].tolist(), 0, 0) - wanted).abs().max() < 1e-5


@torch.no_grad()
def python_logits(model, ids, descriptions, vocabulary, predicted, off=()):
    """Returns the logits with predicted maps in some heads and without others, layer by layer, because z changes z."""
    edits = []
    gates = torch.ones(model.n_layers, model.n_heads)
    for layer, head in off:
        gates[layer, head] = 0
    edits.append(Scale(gates[:, None]))
    for layer in range(model.n_layers):
        here = [d for d in descriptions if d.layer == layer and (d.layer, d.head) in predicted]
        if not here:
            continue
        values = look(model, ids, "values", edits=edits).values  # (L, B, H, T, D), of the model changed so far
        maps = torch.stack([d.rule.map(ids, vocabulary) for d in here], 1)  # (B, heads, T, T)
        z = torch.zeros_like(values)
        z[layer, :, [d.head for d in here]] = maps @ values[layer, :, [d.head for d in here]]
        edits.append(Replace("z", z, heads_at(model, *((d.layer, d.head) for d in here))))
    return look(model, ids, edits=edits).logits[0]


@pytest.mark.parametrize(("position", "feedforward", "qk_norm"), [(Rotary, None, None), (ALiBi, SwiGLU, Unit)])
@pytest.mark.parametrize("kind", ["characters", "byte pairs"])
def test_logits_and_losses_with_predicted_maps_equal_those_of_pytorch(
    tab, kind, position, feedforward, qk_norm, tmp_path
):
    tokenizer = tokenizers()[kind]
    options = {"feedforward": feedforward, "qk_norm": qk_norm} if feedforward else {}
    model = random_model(len(tokenizer), position, **options)
    vocabulary = vocabulary_of(tokenizer)
    descriptions = describe_all(model, tokenizer)
    opened(tab, model, tokenizer, descriptions, tmp_path / "page.html")
    cases = [([(0, 1)], []), ([(1, 2)], []), ([(0, 0), (0, 2), (1, 1)], []), ([(0, 1), (1, 0)], [(1, 1)])]
    for number, row in enumerate(texts(tokenizer)):
        predicted, off = cases[number % len(cases)]
        ids = torch.tensor([row])
        wanted = python_logits(model, ids, descriptions, vocabulary, predicted, off)
        more = {"off": off, "predicted": predicted}
        found = torch.tensor(request(tab, "logits", row, **more)["logits"]).view(len(row), -1)
        close(found, wanted)
        if len(set(row)) > 1:
            assert (wanted - model(ids)[0]).abs().max() > 0.01
        answer = request(tab, "text", row, **more)
        if len(row) > 1:
            close(torch.tensor(answer["losses"]), losses(wanted[None], ids)[0])
            close(torch.tensor(answer["intactLosses"]), losses(model(ids), ids)[0].detach())
        # The unchanged model is not affected afterwards, and one more token is read on top of the stored positions.
        close(torch.tensor(request(tab, "logits", row)["logits"]).view(len(row), -1), model(ids)[0].detach())
        if len(row) < T:
            longer = [*row, row[0]]
            wanted = python_logits(model, torch.tensor([longer]), descriptions, vocabulary, predicted, off)
            close(torch.tensor(request(tab, "logits", longer, **more)["logits"]).view(len(longer), -1), wanted)


def random_model(vocab_size, position, **options):
    torch.manual_seed(0)
    model = TransformerLM(vocab_size, 24, 3, 2, T, position=position, **options)
    for p in model.parameters():
        torch.nn.init.normal_(p, std=p.shape[-1] ** -0.5 if p.ndim > 1 else 0.1)
    return model.eval()


def described_data(html):
    return json.loads(html.split('id="described">')[1].split("</script>")[0])


def test_a_page_without_descriptions_has_none(tmp_path):
    tokenizer = tokenizers()["characters"]
    model = small(vocab_size=len(tokenizer)).eval()
    for given in (None, []):
        html = page(ShowRequest(model, tokenizer, "a", tmp_path), descriptions=given)
        assert described_data(html)["descriptions"] is None
    mlp = FixedContextMLP(len(tokenizer), 4, 8, 16, 16).eval()
    assert described_data(page(ShowRequest(mlp, tokenizer, "a", tmp_path)))["descriptions"] is None


def test_the_descriptions_of_the_request_are_in_the_page_unless_it_cannot_run(tmp_path):
    tokenizer = tokenizers()["characters"]

    class Bent(Rotary):
        def queries_and_keys(self, q, k, x, offset):
            return q.tanh(), k

    for position, wanted in ((Rotary, [0, 1, 0, 1]), (Bent, None)):
        model = small(position, vocab_size=len(tokenizer)).eval()
        asked = ShowRequest(model, tokenizer, "a", tmp_path)
        asked.__dict__["descriptions"] = describe_all(model, tokenizer)  # instead of fitting rules
        found = described_data(page(asked))["descriptions"]
        assert (found and [head["head"] for head in found["heads"]]) == wanted


def test_numbers_that_are_not_finite_are_not_in_the_page(tmp_path):
    tokenizer = tokenizers()["characters"]
    model = small(vocab_size=len(tokenizer)).eval()
    rule = random_rule(vocabulary_of(tokenizer), 16, 0)
    given = [described(0, 0, rule, recovered=math.nan, place=math.inf, content=-0.2)]
    data = described_data(page(ShowRequest(model, tokenizer, "a", tmp_path), descriptions=given))
    (head,) = data["descriptions"]["heads"]
    assert head["recovered"] == {"value": None, "error": 0.05}
    assert head["parts"] == {"place": None, "structure": 0.0, "identity": 0.0, "content": -0.2}


@pytest.mark.parametrize("kind", ["characters", "byte pairs"])
def test_a_description_takes_at_most_three_kilobytes(kind, tmp_path):
    tokenizer = tokenizers()[kind]
    model = small(vocab_size=len(tokenizer), d_model=32, n_heads=4, n_layers=4, block_size=64).eval()
    names = list(patterns_of(vocabulary_of(tokenizer)))[:5]
    asked = ShowRequest(model, tokenizer, "a", tmp_path)
    more = len(page(asked, descriptions=describe_all(model, tokenizer, names=names))) - len(page(asked))
    assert more / 16 < 3000
