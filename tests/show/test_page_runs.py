"""The model in the page computes the same as PyTorch: logits, generated text, and all measurements.

Shapes: T positions, V vocabulary, L layers, H heads.
"""

import json
from functools import partial

import pytest
import torch

from headscope.data.tokenizers import CharTokenizer
from headscope.generation.decode import context_start, decode
from headscope.generation.sampling import Sampling
from headscope.heads import Replace, Scale, logit_lens, look
from headscope.heads.ablation import losses, mean
from headscope.heads.attribution import attribute
from headscope.heads.capture import heads_at
from headscope.heads.flow import views
from headscope.model.feedforward import GELU, SquaredReLU, SwiGLU
from headscope.model.mlp import FixedContextMLP
from headscope.model.position import Position, Rotary
from headscope.model.qk_norm import QKNorm, Unit
from headscope.model.transformer import TransformerLM
from headscope.portable import refusal
from headscope.show.page import page
from headscope.show.request import ShowRequest
from tests.conftest import ON_PAGE, small

pytestmark = pytest.mark.browser
V = 65
TOKENIZER = CharTokenizer(vocab=[chr(33 + i) for i in range(V)])
SIZES = {  # the sizes are d_model, n_heads, n_layers and block_size
    "small": (24, 3, 2, 16),
    "nano": (128, 4, 4, 64),
    "part4": (256, 8, 6, 128),
}


def made(size="small", position=Rotary, feedforward=GELU, qk_norm=QKNorm, seed=0):
    """Returns a model in which all weights are random, including biases."""
    d_model, n_heads, n_layers, block_size = SIZES[size]
    torch.manual_seed(seed)
    parts = {"position": position, "feedforward": feedforward, "qk_norm": qk_norm}
    model = TransformerLM(V, d_model, n_heads, n_layers, block_size, **parts)
    for p in model.parameters():
        torch.nn.init.normal_(p, std=p.shape[-1] ** -0.5 if p.ndim > 1 else 0.1)
    return model.eval()


def opened(tab, model, path, **about):
    """Opens the page of a model in full precision, and waits until the page is ready."""
    path.write_text(page(ShowRequest(model, TOKENIZER, "", path, about), full_precision=True), encoding="utf-8")
    tab.open(path)
    tab.run("modules.page.settled().then(() => true)")
    return tab


def request(tab, name, ids, off=(), by="zero", **more):
    """Returns the worker's answer; typed arrays become lists."""
    text = json.dumps({"ids": [int(i) for i in ids], "off": list(off), "by": by, **more})
    return tab.run(
        f"modules.request.request({json.dumps(name)}, {text}).then((answer) => JSON.parse(JSON.stringify(answer,"
        " (_, x) => ArrayBuffer.isView(x) ? Array.from(x) : x)))"
    )


def logits(tab, ids, off=(), by="zero"):
    return torch.tensor(request(tab, "logits", ids, off, by)["logits"]).view(-1, V)


def texts(model, n, longest=None):
    """Yields random texts of random lengths."""
    random = torch.Generator().manual_seed(1)
    for _ in range(n):
        t = int(torch.randint(1, (longest or model.block_size) + 1, (), generator=random))
        yield torch.randint(V, (1, t), generator=random)


def some_heads(model, seed):
    """Returns about half of the heads, chosen at random."""
    chosen = torch.rand(model.n_layers, model.n_heads, generator=torch.Generator().manual_seed(seed)) < 0.5
    return chosen.nonzero().tolist()


def close(ours, theirs):
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() < 1e-3


@torch.no_grad()
def same(tab, model, n=20):
    """Compares logits on n random texts, with all heads and without some, and greedy text longer than the context."""
    for number, ids in enumerate(texts(model, n)):
        close(logits(tab, ids[0]), model(ids)[0])
        off = some_heads(model, number)
        gates = torch.ones(model.n_layers, model.n_heads)
        for layer, head in off:
            gates[layer, head] = 0
        close(logits(tab, ids[0], off), look(model, ids, edits=[Scale(gates[:, None])]).logits[0])
    write(tab, model)


def write(tab, model):
    """Generates 1.75 contexts of tokens, and compares the tokens and the last logits."""
    start = torch.randint(V, (1, 3), generator=torch.Generator().manual_seed(5))
    n = model.block_size * 7 // 4
    wanted = [i for (i,) in decode(model, start, n, Sampling(0.0), [torch.Generator()])]
    assert greedy(tab, start[0].tolist(), n) == wanted
    ids = torch.cat((start, torch.tensor([wanted])), 1)
    begin = context_start(ids.shape[1], model.block_size)
    assert begin > 0
    close(logits(tab, ids[0]), model(ids[:, begin:])[0])


def greedy(tab, ids, n, off=(), by="zero"):
    script = """(async () => {
      const ids = %s;
      for (let i = 0; i < %d; i++) {
        const parameters = { ids, off: %s, by: "zero", temperature: 0, topK: 0, u: 0 };
        ids.push((await modules.request.request("next", parameters)).id);
      }
      return ids;
    })()"""
    return tab.run(script % (ids, n, json.dumps(list(off))))[len(ids) :]


@pytest.mark.parametrize("position", ON_PAGE)
@pytest.mark.parametrize("size", SIZES)
def test_every_scheme_and_size(tab, size, position, tmp_path):
    model = made(size, position)
    same(opened(tab, model, tmp_path / "page.html"), model)
    assert tab.complaints == []


@pytest.mark.parametrize("qk_norm", [QKNorm, Unit])
@pytest.mark.parametrize("feedforward", [GELU, SquaredReLU, SwiGLU])
def test_every_feedforward_and_norm_of_queries_and_keys(tab, feedforward, qk_norm, tmp_path):
    model = made(feedforward=feedforward, qk_norm=qk_norm)
    same(opened(tab, model, tmp_path / "page.html"), model)


@torch.no_grad()
def test_writing_without_some_heads_past_the_context(tab, tmp_path):
    model = made()
    off = [[0, 1], [1, 2]]
    opened(tab, model, tmp_path / "page.html")
    ids = [1, 2, 3]
    for _ in range(28):
        begin = context_start(len(ids), model.block_size)
        gates = torch.ones(2, 1, 3)
        gates[0, 0, 1] = gates[1, 0, 2] = 0
        ids.append(int(look(model, torch.tensor([ids[begin:]]), edits=[Scale(gates)]).logits[0, -1].argmax()))
    assert greedy(tab, ids[:3], 28, off) == ids[3:]


def test_the_fixed_context(tab, tmp_path):
    torch.manual_seed(0)
    model = FixedContextMLP(V, 5, 12, 20, 16).eval()
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.3)
    opened(tab, model, tmp_path / "page.html")
    for ids in texts(model, 20):
        close(logits(tab, ids[0]), model(ids)[0].detach())
    write(tab, model)


@torch.no_grad()
def test_a_mean_replaces_the_output_of_heads_except_at_the_first_position(tab, tmp_path):
    model = made()
    passages = torch.randint(V, (8, 16), generator=torch.Generator().manual_seed(3))
    opened(tab, model, tmp_path / "page.html", passages=passages.tolist())
    by = mean(look(model, passages, "z").z)  # its first text is the text on the page
    off, ids = [[0, 2], [1, 0]], passages[:1]
    for t in (16, 5, 1):
        edit = Replace("z", by[:, :1, :, :t], heads_at(model, (0, 2), (1, 0)))
        found = logits(tab, ids[0, :t], off, "mean")
        close(found, look(model, ids[:, :t], edits=[edit]).logits[0])
        close(found[0], model(ids)[0, 0])
    # Zeros replace the output at all positions, also after a mean has replaced it.
    gates = torch.ones(2, 1, 3)
    gates[0, 0, 2] = gates[1, 0, 0] = 0
    close(logits(tab, ids[0], off, "zero"), look(model, ids, edits=[Scale(gates)]).logits[0])


@torch.no_grad()
def test_a_page_whose_texts_have_one_token_has_no_mean_output(tab, tmp_path):
    model = made()
    opened(tab, model, tmp_path / "page.html", passages=[[3], [4]])
    close(logits(tab, [1, 2, 3], [[0, 1]], "mean"), logits(tab, [1, 2, 3], [[0, 1]], "zero"))


@pytest.mark.parametrize("position", ON_PAGE)
@torch.no_grad()
def test_measurements_equal_those_of_the_python_functions(tab, position, tmp_path):
    model = made(position=position, feedforward=SwiGLU, qk_norm=Unit)
    opened(tab, model, tmp_path / "page.html")
    ids = torch.randint(V, (1, 13), generator=torch.Generator().manual_seed(2))
    seen = views(model, ids)
    for layer in range(2):
        for head in range(3):
            for view, wanted in (("weights", seen.weights), ("normWeighted", seen.moved)):
                found = torch.tensor(request(tab, "map", ids[0], view=view, layer=layer, head=head)["map"])
                torch.testing.assert_close(found.view(13, 13), wanted[layer, 0, head], atol=1e-5, rtol=1e-4)
        found = torch.tensor(request(tab, "map", ids[0], view="rollout", layer=layer, head=0)["map"])
        torch.testing.assert_close(found.view(13, 13), seen.rolled[layer, 0], atol=1e-5, rtol=1e-4)
    text = request(tab, "text", ids[0])
    torch.testing.assert_close(torch.tensor(text["losses"]), losses(model(ids), ids)[0], atol=1e-4, rtol=1e-4)
    maps = (torch.tensor(text["maps"]).view(2, 3, 13, 13) / 255) ** 2
    torch.testing.assert_close(maps, seen.weights[:, 0], atol=0.005, rtol=0)
    for at in (0, 7, 12):
        here = request(tab, "position", ids[0], at=at, token=4)
        torch.testing.assert_close(torch.tensor(here["next"]), model(ids)[0, at].softmax(-1), atol=1e-5, rtol=1e-3)
        lens = logit_lens(model, ids)[:, 0, at].softmax(-1)
        torch.testing.assert_close(torch.tensor(here["lens"]), lens, atol=1e-5, rtol=1e-3)
        parts, ours = attribute(model, ids, torch.tensor([4]), at=at), here["contributions"]
        near = partial(pytest.approx, abs=1e-4)
        for found, wanted in (
            (torch.tensor(ours["heads"]), parts.heads[:, 0]),
            (torch.tensor(ours["feedforward"]), parts.feedforward[:, 0]),
        ):
            torch.testing.assert_close(found.double(), wanted.double(), atol=1e-4, rtol=0)
        assert ours["embedding"] == near(float(parts.embedding))
        assert ours["position"] == near(float(parts.position))
        assert ours["rest"] == near(float(parts.norm_bias + parts.head_bias))
        assert ours["logit"] == near(float(parts.logit))


def test_sampling_draws_as_python_weighs(tab, tmp_path):
    model = made()
    opened(tab, model, tmp_path / "page.html")
    row = model(torch.tensor([[1, 2, 3]]))[0, -1].detach()
    for temperature, k in ((0.7, 3), (1.0, 0), (2.0, 1)):
        p = Sampling(temperature, k or None).probabilities(row)
        order = row.argsort(descending=True, stable=True)
        edges = p[order].cumsum(0)
        for u in (0.001, 0.3, 0.6, 0.95, 0.9999):
            wanted = int(order[int((edges <= u).sum())])
            got = request(tab, "next", [1, 2, 3], temperature=temperature, topK=k, u=u)["id"]
            assert got == wanted, (temperature, k, u)


class Bent(Position):
    """A scheme whose computation differs from that of its base class."""

    def queries_and_keys(self, q, k, x, offset):
        return q.tanh(), k


class Shifted(Position):
    def embed(self, x, offset):
        return x.sin()


@pytest.mark.parametrize("scheme", [Bent, Shifted])
def test_a_scheme_that_cannot_be_described_is_refused_by_name_and_its_maps_are_shown(tab, scheme, tmp_path):
    model = small(scheme, vocab_size=V)
    assert scheme.__name__ in refusal(model)
    path = tmp_path / "page.html"
    path.write_text(page(ShowRequest(model.eval(), TOKENIZER, "ABC", path)), encoding="utf-8")
    tab.complaints.clear()
    tab.open(path)
    tab.run("modules.page.settled().then(() => true)")
    assert f"cannot run the model: {scheme.__name__} computes" in tab.run(
        "document.querySelector('.warning').textContent"
    )
    assert tab.run("document.querySelector('#text').hidden && document.querySelector('#look').hidden")
    readout = "document.querySelector('#film-map .readout').textContent"
    assert tab.run(readout).startswith("from C (2) to ")
    before = tab.run("document.querySelector('#film-map .area canvas').toDataURL()")
    tab.click("#film-heads .head:nth-child(2) .pick")
    assert tab.run("document.querySelector('#film-map .area canvas').toDataURL()") != before
    assert tab.complaints == []
