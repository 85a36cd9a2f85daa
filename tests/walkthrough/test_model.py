"""The walk model explains a head of a checkpoint; every number is compared with the model itself."""

import re

import pytest
import torch

from headscope.heads import look
from headscope.heads.ablation import mean, zero
from headscope.heads.attribution import attribute
from headscope.heads.capture import Replace, heads_at
from headscope.model.mlp import FixedContextMLP
from headscope.walkthrough import model
from headscope.walkthrough.__main__ import WALKS
from tests.conftest import SCHEMES
from tests.walkthrough.conftest import save
from tests.walkthrough.reference import matrices, shown
from tests.walkthrough.test_lessons import changes, number_at


@pytest.mark.parametrize("position", SCHEMES)
@pytest.mark.parametrize("head", [(0, 0), (1, 1)])
def test_every_number_is_the_model_s(tmp_path, position, head):
    path = tmp_path / "best.ckpt"
    trained, tokenizer = save(path, position)
    layer, index = head
    text = "the cat sat"
    result = model.WALK.run(None, checkpoint=str(path), prompt=text, head=f"L{layer}H{index}")
    ids = tokenizer.encode(text)[None]
    seen = look(trained, ids, "queries", "keys", "values", "maps", "z", "heads", "resid")
    found = {title: torch.tensor(values) for title, values in matrices(result).items()}

    def same(title, expected):
        torch.testing.assert_close(found[title], expected.double(), rtol=0, atol=2e-5, msg=title)

    assert found["ids"].tolist() == ids.tolist()
    same("embeddings", trained.embed(ids)[0].detach())
    for title, field in (
        ("queries", seen.queries),
        ("keys", seen.keys),
        ("values", seen.values),
        ("weights", seen.maps),
    ):
        same(title, field[layer, 0, index])
    same("head output", seen.z[layer, 0, index, -1:])
    same("written", seen.heads[layer, 0, index, -1:])
    if layer:
        same(f"stream before layer {layer}", seen.resid[layer, 0])
    assert max(len(line) for step in result.steps for line in step.source.splitlines()) <= 76
    assert torch.equal(found["scores"].softmax(-1).isclose(found["weights"], atol=1e-6), torch.ones(11, 11).bool())

    p = seen.logits[0, -1].double().softmax(-1)
    top = p.topk(model.TOP).indices
    edit = Replace("z", zero(seen.z), heads_at(trained, head))
    without = look(trained, ids, edits=[edit]).logits[0, -1].double().softmax(-1)
    same("probabilities", torch.stack((p[top], without[top]), -1))
    shares = attribute(trained, ids, top[:1])
    assert found["next"][0, 1].item() == pytest.approx(shares.heads[layer, 0, index].item(), abs=2e-5)
    adds = next(m for m in result.matrices if m.columns == ("adds",))
    assert adds.values[:-1].sum().item() == pytest.approx(float(shares.logit), abs=1e-3)
    assert f"P({tokenizer.show(int(top[0])).replace(' ', '·')}) = {p[top[0]]:.4f} with" in result.steps[-1].notice


def test_a_head_that_says_its_mean(tmp_path):
    path = tmp_path / "best.ckpt"
    trained, tokenizer = save(path)
    result = model.WALK.run(None, checkpoint=str(path), prompt="the cat", head="l0h1", instead="mean")
    ids = tokenizer.encode("the cat")[None]
    edit = Replace("z", mean(look(trained, ids, "z").z), heads_at(trained, (0, 1)))
    p = look(trained, ids, edits=[edit]).logits[0, -1].double().softmax(-1)
    shares = shown(result, "probabilities")
    first = tokenizer.encode(shares.rows[0].replace("·", " "))[0]
    assert shares.values[0, 1].item() == pytest.approx(p[first].item(), abs=1e-6)


def test_without_a_name_the_head_that_matters_most_is_taken(run_folder, walk):
    _, trained, tokenizer = run_folder
    result = model.WALK.run(None, prompt="the dog")
    ids = tokenizer.encode("the dog")
    p = model.predict(trained, ids)
    moved = {
        (layer, head): abs(float((model.remove(trained, ids, (layer, head), zero) - p)[p.argmax()]))
        for layer in range(2)
        for head in range(2)
    }
    layer, head = max(moved, key=moved.get)
    assert f"head L{layer}H{head} compute from the stream" in result.steps[2].question


def test_the_newest_checkpoint_is_taken_and_named_first(run_folder, walk):
    path, *_ = run_folder
    code, out, err = walk("model", columns=200)
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "tiny, trained on cats, step 7: outputs/day/time/checkpoints/best.ckpt"
    same = walk("model", "--set", f"checkpoint={path.parent.parent}", columns=200)[1]
    same = same.replace(f" --set checkpoint={path.parent.parent}", "")
    assert same.splitlines()[1:] == out.splitlines()[1:]
    text = re.search(r"What does the model receive instead of “(.*)”", out).group(1)
    assert model.SHORTEST <= len(text) <= model.LONGEST


def test_every_change_shows_what_its_answer_says(run_folder, walk):
    _, out, _ = walk("model", "--set", "prompt=the cat", columns=200)
    found = list(changes(out))
    assert len(found) == 2
    for arguments, answer in found:
        assert "prompt=the cat" in arguments
        code, after, _ = walk(*arguments, columns=200)
        assert code == 0
        if "probabilities" in answer:
            then = re.search(r"(?:goes from \S+ to|stays) (\S+?)\. ", answer).group(1)
            assert number_at(after, answer) == then


def test_mistakes_are_one_line(run_folder, walk, tmp_path):
    for given, expected in (
        (["head=L9H9"], "the model has no such head; its heads are L0H0 L0H1 L1H0 L1H1"),
        (["prompt=Q"], "Q"),
        (["prompt=t"], "only 1 character; use at least two"),
        ([f"checkpoint={tmp_path}"], "is a folder without"),
        (["prmpt=x"], "did you mean prompt?"),
    ):
        code, out, err = walk("model", *[word for x in given for word in ("--set", x)])
        assert (code, out) == (2, "")
        assert expected in err
        assert err.count("\n") == 1


def test_no_run_is_one_line(walk, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = walk("model")
    assert code == 2
    assert "no run in outputs/ has a checkpoint" in err
    assert err.count("\n") == 1


def test_a_model_without_heads_is_refused(tmp_path, walk, monkeypatch):
    path = tmp_path / "mlp.ckpt"
    monkeypatch.setattr(
        "tests.walkthrough.conftest.small", lambda **sizes: FixedContextMLP(sizes["vocab_size"], 4, 8, 16, 32)
    )
    save(path)
    code, _, err = walk("model", "--set", f"checkpoint={path}")
    assert code == 2
    assert "has no heads" in err


def test_a_checkpoint_without_texts_is_described_on_what_its_model_writes(tmp_path, walk):
    path = tmp_path / "bare.ckpt"
    save(path, passages=False)
    code, out, _ = walk("model", "--set", f"checkpoint={path}")
    assert code == 0
    assert "With and without" in out


def test_texts_too_short_to_choose_from_ask_for_a_prompt(tmp_path, walk, monkeypatch):
    path = tmp_path / "short.ckpt"
    save(path, passages=[[1, 2], [3, 4]])
    code, _, err = walk("model", "--set", f"checkpoint={path}")
    assert code == 2
    assert "contains only texts of 2 tokens; give a longer text: --set prompt=…" in err


def test_one_head_alone_has_no_other_to_follow(tmp_path):
    path = tmp_path / "one.ckpt"
    save(path, n_heads=1, n_layers=1)
    result = model.WALK.run(None, checkpoint=str(path), prompt="the cat")
    assert [step.change and step.change.option for step in result.steps].count("head") == 0
    assert len(result.checks) == 3
    assert WALKS["model"].seed is None
