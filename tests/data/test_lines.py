"""Each line is one example, which is read and counted once, and generated as a whole."""

import json
import math
from pathlib import Path

import pytest
import torch

import headscope
from headscope.data.lines import Lines, LineWindows
from headscope.data.textfiles import TextFiles
from headscope.data.tokenizers import CharTokenizer, LineTokenizer, WordTokenizer
from headscope.data.windows import IGNORE
from headscope.errors import UserError
from headscope.generation.sampling import Sampling
from headscope.generation.text import prompt_ids, write_texts
from headscope.show.page import page
from headscope.show.request import ShowRequest
from tests.conftest import shell, small

NAMES = ["emma", "olivia", "ava", "isabella", "sophia", "mia", "zoë", "שרה", "li na", "x"]


def corpus(tmp_path, content, block_size=16, tokenizer=None):
    path = tmp_path / "names.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Lines(str(path)).load(block_size, tokenizer)


def written(windows, tokenizer):
    """Returns each line of a split; checks that x and y agree on the line's beginning and end."""
    lines = []
    for x, y in windows.once(3):
        for inputs, targets in zip(x.tolist(), y.tolist(), strict=True):
            whole = [t for t in targets if t != IGNORE]
            assert targets == whole + [IGNORE] * (len(targets) - len(whole))
            assert inputs[: len(whole)] == [tokenizer.start, *whole[:-1]]
            assert whole[-1] == tokenizer.end
            lines.append(tokenizer.decode(whole[:-1]))
    return lines


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", ["", "end"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_every_line_is_in_one_split_whole_whatever_ends_it(tmp_path, end, last, mark):
    content = mark + (end.join(NAMES) + (end if last else "")).encode()
    found = corpus(tmp_path, content)
    train, val = (written(windows, found.tokenizer) for windows in (found.train, found.val))
    assert sorted(train + val) == sorted(NAMES)
    assert (len(train), len(val)) == (9, 1)
    assert found.tokens == sum(len(name) + 1 for name in NAMES)
    assert found.tokenizer.vocab == sorted({*"".join(NAMES), "\n"})
    assert found.characters == 1.0
    assert found.note == ""


def test_lines_are_shuffled_in_the_same_way_every_time(tmp_path):
    names = [f"{i:03}" for i in range(500)]
    first, second = (corpus(tmp_path, "\n".join(names)) for _ in range(2))
    val = written(first.val, first.tokenizer)
    assert val == written(second.val, second.tokenizer)
    assert first.sha256 == second.sha256
    assert len(val) == 50
    assert sum(int(name) < 250 for name in val) in range(15, 36), "from all over the file"


def test_an_epoch_visits_every_line_once(tmp_path):
    found = corpus(tmp_path, "\n".join(f"{i:03}" for i in range(100)))
    x, _ = found.train.stream(7, range(90), 16)
    assert len({tuple(row) for row in x.tolist()}) == 90


def test_windows_are_those_of_a_slow_loop(tmp_path):
    tokenizer = LineTokenizer(vocab=["\n", "a", "b"])
    ids = tokenizer.encode("\nab\na\nbbb\n")
    windows = LineWindows(ids, (ids == 0).nonzero().flatten(), torch.tensor([2, 0]))
    ((x, y),) = windows.once(8)
    assert x.tolist() == [[0, 2, 2, 2], [0, 1, 2, 0]]
    assert y.tolist() == [[2, 2, 2, 0], [1, 2, 0, IGNORE]]
    shares = [[row for x, _ in windows.once(1, rank, 2) for row in x.tolist()] for rank in range(2)]
    assert shares == [[[0, 2, 2, 2]], [[0, 1, 2, 0]]]


def test_blank_lines_are_left_out_and_copies_are_counted(tmp_path, caplog):
    caplog.set_level("INFO")
    found = corpus(tmp_path, "emma\n\n  \n" * 20)
    assert found.note == "2 of 2 validation lines also occur in the training split"
    assert caplog.messages == [
        "names.txt: 18 lines to train on, 2 to validate; the longest line has 4 characters; 40 blank lines left out;"
        f" {found.note}"
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "names.txt has 0 lines of text"),
        ("emma\n\n", "names.txt has 1 line of text, and data=lines needs at least two"),
        (
            "ava\n" + "y" * 17 + "\n" + "x" * 16 + "\nmia",
            "line 2 has 17 characters, and model.block_size=16 has room for 15 and the line's end; use"
            r" model.block_size=18, or shorten the lines that are too long \(2 of 4\)",
        ),
    ],
)
def test_what_cannot_be_split_or_does_not_fit_is_refused(tmp_path, content, message):
    with pytest.raises(UserError, match=message) as error:
        corpus(tmp_path, content)
    assert "\n" not in str(error.value)


def test_the_advice_about_length_is_right(tmp_path):
    assert corpus(tmp_path, "ava\n" + "y" * 17, block_size=18).tokens == 22


def test_a_model_of_running_text_may_go_on_with_lines(tmp_path):
    letters = CharTokenizer(vocab=["\n", *"abcdefgimnopqrstuv"])
    found = corpus(tmp_path, "emma\nava\nmia", tokenizer=letters)
    assert isinstance(found.tokenizer, LineTokenizer)
    assert found.tokenizer.vocab == letters.vocab
    for other in (WordTokenizer(vocab=["\n", "emma"]), CharTokenizer(vocab=list("emav"))):
        with pytest.raises(UserError, match="the lines need characters and a newline"):
            corpus(tmp_path, "emma\nava\nmia", tokenizer=other)
    with pytest.raises(UserError, match=r"names\.txt does not fit .* unknown character 'z'"):
        corpus(tmp_path, "emma\nzoe", tokenizer=letters)


def test_running_text_does_not_end_with_its_first_line(tmp_path):
    (tmp_path / "a.txt").write_text("ab\nba\n" * 20)
    found = TextFiles(str(tmp_path / "a.txt")).load(8, LineTokenizer(vocab=["\n", "a", "b"])).tokenizer
    assert (type(found), found.vocab, found.end) == (CharTokenizer, ["\n", "a", "b"], None)


class Says(torch.nn.Module):
    """A model that predicts the next character of a fixed text, and then the end of the line."""

    block_size = 16

    def __init__(self, tokenizer, text):
        super().__init__()
        self.tokenizer, self.weight = tokenizer, torch.nn.Parameter(torch.zeros(1))
        self.text = tokenizer.encode(f"\n{text}\n").tolist()

    def forward(self, ids):
        after = dict(zip(self.text, self.text[1:], strict=False))
        logits = torch.zeros(*ids.shape, len(self.tokenizer))
        for row, column in ((i, j) for i in range(ids.shape[0]) for j in range(ids.shape[1])):
            logits[row, column, after[int(ids[row, column])]] = 9.0
        return logits


@pytest.mark.parametrize(("prompt", "text"), [("", "mia"), ("\n", "mia"), ("m", "mia"), ("mi", "mia")])
def test_writing_begins_with_a_line_and_ends_with_it(prompt, text):
    tokenizer = LineTokenizer(vocab=["\n", *"aim"])
    assert prompt_ids(tokenizer, prompt)[0] == tokenizer.start
    model = Says(tokenizer, "mia")
    pieces = write_texts(model, tokenizer, prompt, 50, Sampling(temperature=0.0), [torch.Generator()] * 2)
    assert ["".join(p) for p in pieces] == [text, text]


def test_other_tokenizers_begin_and_end_as_they_did():
    words = WordTokenizer(vocab=["I", "love", "<pad>", "<eos>"])
    assert prompt_ids(words, "love").tolist() == [1]
    assert (words.start, CharTokenizer(vocab=["\n"]).start, CharTokenizer(vocab=["\n"]).end) == (None, None, None)


@pytest.mark.slow
def test_a_run_on_names(tmp_path):
    """Trains on a file and generates one name per line. The losses count the ends of lines, but no padding."""
    (tmp_path / "names.txt").write_text("\n".join(a + b for a in ("em", "av", "mi", "lu") for b in ("a", "ia", "na")))
    sizes = ("model.d_model=32", "model.n_layers=1", "model.block_size=8", "heads=h2", "trainer.max_steps=60")
    folder = tmp_path / "run"
    done = shell("train.py", "data=lines", f"data.path={tmp_path}/names.txt", *sizes, f"hydra.run.dir={folder}")
    assert done.returncode == 0, done.stderr
    assert "names.txt: 11 lines to train on, 1 to validate" in done.stdout
    model, tokenizer, about = headscope.load(folder)
    found = Lines(str(tmp_path / "names.txt")).load(8, tokenizer)
    ((x, y),) = found.val.once(8)
    p = model(x).double().log_softmax(-1)[0]
    line = [t for t in y[0].tolist() if t != IGNORE]
    by_hand = -sum(p[i, t].item() for i, t in enumerate(line)) / len(line)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["best_val_loss"] == pytest.approx(by_hand, abs=0.02)  # the run computes in bf16
    assert summary["val_bits_per_character"] == pytest.approx(summary["val_loss"] / math.log(2))
    assert (torch.tensor(about["passages"]) >= 0).all()
    done = shell("generate.py", f"checkpoint={folder}", "num_samples=4")
    assert done.returncode == 0, done.stderr
    names = done.stdout.splitlines()
    assert len(names) == 4
    assert all(len(name) < 20 for name in names)
    assert shell("generate.py", f"checkpoint={folder}", "prompt=em").stdout.startswith("em")


def test_the_page_begins_a_line_too():
    tokenizer = LineTokenizer(vocab=["\n", *"abcdefghij"])
    document = page(ShowRequest(small(), tokenizer, "abc", Path("a.ckpt"), {"step": 1, "name": "n"}))
    assert '"start": 0' in document or '"start":0' in document
    assert '"text": [0, 1, 2, 3]' in document or '"text":[0,1,2,3]' in document
