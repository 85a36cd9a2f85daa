"""The smallest experiment, whose optimum is known."""

import json
import math

import pytest

import headscope
from tests.conftest import shell


def next_words(folder, text):
    model, tokenizer, _ = headscope.load(folder / "checkpoints" / "last.ckpt")
    p = model(tokenizer.encode(text)[None])[0, -1].softmax(-1)
    return dict(zip(tokenizer.vocab, p.tolist(), strict=True))


def test_one_sentence_is_known_by_heart(toy_run):
    folder, output = toy_run
    assert "validates on its training sentences" in output
    assert next_words(folder, "I love")["cats"] >= 0.99
    assert list(next_words(folder, "I love")) == ["I", "love", "cats", "dogs", "<pad>", "<eos>"]


def test_a_fair_choice_stays_a_fair_choice(tmp_path):
    done = shell("train.py", "experiment=toy", "data.sentences=[I love cats, I love dogs]", f"hydra.run.dir={tmp_path}")
    assert done.returncode == 0, done.stderr
    p = next_words(tmp_path, "I love")
    assert p["cats"] == pytest.approx(0.5, abs=0.03)
    assert p["dogs"] == pytest.approx(0.5, abs=0.03)
    # Each sentence has three targets, and only the choice between cats and dogs is uncertain.
    assert json.loads((tmp_path / "summary.json").read_text())["val_loss"] == pytest.approx(math.log(2) / 3, abs=0.01)


def test_words_are_joined_by_spaces(toy_run):
    done = shell(
        "generate.py",
        f"checkpoint={toy_run[0]}/checkpoints/best.ckpt",
        "prompt=I love",
        "max_new_tokens=2",
        "temperature=0",
    )
    assert done.stdout == "I love cats <eos>\n"


def test_the_next_words_are_the_six_of_the_document(toy_run):
    done = shell("generate.py", f"checkpoint={toy_run[0]}/checkpoints/best.ckpt", "show=next", "prompt=I love")
    assert done.returncode == 0, done.stderr
    rows = dict(line.split()[:2] for line in done.stdout.splitlines() if len(line.split()) > 1 and "." in line)
    assert rows.keys() == {"I", "love", "cats", "dogs", "<pad>", "<eos>"}
    assert float(rows["cats"]) >= 0.99
    assert sum(map(float, rows.values())) == pytest.approx(1, abs=1e-3)
