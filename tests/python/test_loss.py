"""`Trained.loss` reads a text as training reads it."""

import pytest
import torch

import headscope
from headscope import checkpoint
from headscope.data.lines import Lines
from headscope.data.sentences import Toy
from headscope.data.textfiles import TextFiles
from headscope.data.windows import TextWindows
from headscope.training.module import token_loss
from tests.conftest import small

SENTENCES = ["I love cats", "you love big dogs", "cats"]
LINES = ["emma", "a", "olivia", "li na", " mia", "zoë"]
TEXT = "to be or not\nto be, that is\n\nthe question " * 9


def trained(model, tokenizer, path):
    card = checkpoint.card(model, tokenizer, name="x", data={"name": "x"})
    weights = {f"model.{k}": v for k, v in model.state_dict().items()}
    torch.save({"headscope": card, "state_dict": weights, "global_step": 0}, path)
    return headscope.load(path)


def of_windows(model, windows):
    """The loss of a split as validation computes it: nats per target."""
    total, n = 0.0, 0
    for x, y in windows:
        with torch.no_grad():
            total += token_loss(model(x), y, "sum").item()
        n += int((y >= 0).sum())
    return total / n


@pytest.fixture
def file(tmp_path):
    def write(content):
        path = tmp_path / "text.txt"
        path.write_text(content, encoding="utf-8")
        return str(path)

    return write


def check(corpus, windows, text, tmp_path):
    model = small(vocab_size=len(corpus.tokenizer), block_size=16).eval()
    found = trained(model, corpus.tokenizer, tmp_path / "x.ckpt").loss(text)
    assert found == pytest.approx(of_windows(model, windows), rel=1e-5)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
def test_lines_have_their_newlines(end, file, tmp_path):
    corpus = Lines(file("\n".join(LINES))).load(16)
    windows = [*corpus.train.once(4), *corpus.val.once(4)]
    check(corpus, windows, end.join(LINES), tmp_path)
    for at, line in enumerate(LINES):
        begin, after = corpus.train.newlines[at : at + 2].tolist()
        ids = corpus.train.ids[begin : after + 1].long()[None]
        check(corpus, [(ids[:, :-1], ids[:, 1:])], line, tmp_path)


@pytest.mark.parametrize("sentences", [SENTENCES, SENTENCES[:1], SENTENCES[2:]])
def test_sentences_have_their_end(sentences, tmp_path):
    corpus = Toy(sentences).load(16)
    check(corpus, corpus.val.once(4), "\n".join(sentences), tmp_path)


@pytest.mark.parametrize("kind", ["char", "word", "bpe"])
def test_running_text_is_one_example(kind, file, tmp_path):
    source = TextFiles(file(TEXT), kind, 300)
    tokenizer, ids, _ = source.encode(source.kind)
    corpus = source.load(4)
    assert corpus.tokenizer.vocab == tokenizer.vocab
    check(corpus, TextWindows(ids, 16).once(4), TEXT, tmp_path)


def test_a_text_without_targets_is_one_line(file, tmp_path):
    corpus = Lines(file("\n".join(LINES))).load(16)
    model = small(vocab_size=len(corpus.tokenizer), block_size=16).eval()
    names = trained(model, corpus.tokenizer, tmp_path / "x.ckpt")
    for empty in ("", "\n", " \n "):
        with pytest.raises(headscope.UserError, match=r"a loss needs at least two tokens, and .*has 0"):
            names.loss(empty)
    assert names.loss("a") > 0
