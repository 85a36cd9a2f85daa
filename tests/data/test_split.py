"""An interleaved split takes its validation text from the whole text; the default split stays as it was."""

import pytest
import torch

from headscope.data.corpus import TextSource
from headscope.data.pydoc import PyDoc
from headscope.data.split import PieceWindows, difference, sections
from headscope.data.textfiles import TextFiles
from headscope.data.tokenizers import CharTokenizer, WordTokenizer
from headscope.data.windows import IGNORE, TextWindows, TrainBatches

SIZES = [(41, 4), (300, 4), (1000, 8), (5003, 7), (100_000, 16), (641, 64), (30_000_000, 64)]
each_size = pytest.mark.parametrize(("n", "block_size"), SIZES)


@each_size
def test_the_pieces_are_the_whole_text_and_a_tenth_of_it_validates(n, block_size):
    border = max(n * 9 // 10, n - 2_000_000)
    train, val = sections(n, border, block_size)
    assert [i for pair in zip(train, val, strict=True) for piece in pair for i in (piece.start, piece.stop)] == sorted(
        i for piece in (*train, *val) for i in (piece.start, piece.stop)
    )
    assert train[0].start == 0
    assert val[-1].stop == n
    assert all(a.stop == b.start for a, b in zip(train, val, strict=True))
    assert all(b.stop == a.start for a, b in zip(train[1:], val[:-1], strict=True))
    assert min(map(len, (*train, *val))) > block_size
    wanted = n - border
    assert wanted - len(val) < sum(map(len, val)) <= wanted
    assert len(val) <= 100


def windows(n=1000, block_size=8, part=0):
    """Windows of a text whose tokens are their own positions."""
    pieces = sections(n, n * 9 // 10, block_size)
    return PieceWindows(torch.arange(n), pieces[part], block_size), pieces[part]


@each_size
@pytest.mark.parametrize("part", [0, 1])
def test_no_training_window_crosses_a_border(n, block_size, part):
    n = min(n, 100_000)
    found, pieces = windows(n, block_size, part)
    inside = {i: number for number, piece in enumerate(pieces) for i in piece}
    for epoch in range(2):
        x, y = found.stream(epoch, range(epoch * len(found), epoch * len(found) + min(len(found), 3000)), block_size)
        assert x.shape[1] == block_size
        assert torch.equal(y, x + 1)
        for row in torch.cat((x, y[:, -1:]), 1).tolist():
            assert len({inside[i] for i in row}) == 1


@each_size
@pytest.mark.parametrize("world", [1, 3])
def test_validation_counts_every_target_once(n, block_size, world):
    n = min(n, 100_000)
    found, pieces = windows(n, block_size, 1)
    seen = []
    for rank in range(world):
        for x, y in found.once(4, rank, world):
            assert torch.equal(y[y != IGNORE], x[y != IGNORE] + 1)
            seen += y[y != IGNORE].tolist()
    assert sorted(seen) == [i for piece in pieces for i in piece[1:]]
    assert found.ids.tolist() == [i for piece in pieces for i in piece]


def test_the_first_validation_windows_are_complete():
    found, _ = windows(10_000, 8, 1)
    x, y = next(found.once(200))
    assert (y != IGNORE).all()
    assert torch.equal(y, x + 1)


def test_an_epoch_visits_each_window_once_and_ranks_share_it():
    found, _ = windows()
    x, _ = found.stream(3, range(len(found)), 8)
    assert len({int(i) for i in x[:, 0]}) == len(found)
    whole = TrainBatches(found, 8, 3, 4).batch(6)[0]
    shares = [TrainBatches(found, 8, 3, 4, rank=rank, world=2).batch(6)[0] for rank in range(2)]
    assert torch.equal(torch.cat(shares).sort(0).values, whole.sort(0).values)


@pytest.mark.parametrize("n", [20, 103, 1000])
def test_one_piece_is_read_as_text_is(n):
    ids = torch.arange(n, dtype=torch.int16)
    one, text = PieceWindows(ids, [range(n)], 8), TextWindows(ids, 8)
    assert len(one) == len(text)
    for ours, theirs in zip((*one.once(4), one.stream(5, range(40), 8)), (*text.once(4), text.stream(5, range(40), 8)),
                            strict=True):  # fmt: skip
        assert all(map(torch.equal, ours, theirs))


def test_the_default_split_is_the_last_tenth_bit_for_bit():
    text, corpus = PyDoc().read(), PyDoc().load(64)
    ids = corpus.tokenizer.encode(text)
    assert corpus.note == ""
    for found, part in ((corpus.train, ids[: len(ids) * 9 // 10]), (corpus.val, ids[len(ids) * 9 // 10 :])):
        assert type(found) is TextWindows
        assert torch.equal(found.stream(3, range(500), 64)[0], TextWindows(part, 64).stream(3, range(500), 64)[0])


@pytest.mark.parametrize("source", [PyDoc, TextFiles])
def test_an_interleaved_text_validates_on_every_part(source, tmp_path):
    (tmp_path / "a.txt").write_text("to be or not to be. " * 500)
    (tmp_path / "b.txt").write_text("12345 67890 " * 90)
    arguments = [str(tmp_path)] if source is TextFiles else []
    corpus = source(*arguments, split="interleaved").load(16)
    assert corpus.sha256 == source(*arguments).load(16).sha256
    assert corpus.note == f"validates on the last tenth of each of {len(corpus.val.pieces)} sections"
    assert corpus.passages(5, 16).shape == (5, 16)
    text = corpus.tokenizer.decode(corpus.val.ids)
    if source is TextFiles:
        assert "to be" in text
        assert "67890" in text


ENGLISH = "The operator is not a name, and the value of an expression is an object. " * 60
GERMAN = "Der schnelle braune Fuchs springt über den faulen Hund und läuft zurück in den Wald. "


class Text(TextSource):
    name = "a text"

    def __init__(self, text, tokenizer="char"):
        super().__init__(tokenizer)
        self.text = text

    def read(self):
        return self.text


@pytest.mark.parametrize("kind", ["char", "word"])
@pytest.mark.parametrize(
    ("text", "differs"),
    [
        (PyDoc().read()[:60_000], False),
        (ENGLISH, False),
        (PyDoc().read()[:40_000] + GERMAN * 50, True),
        (PyDoc().read()[:40_000] + "12345 67890\n" * 350, True),
        (PyDoc().read()[:40_000] + ENGLISH.upper(), True),
    ],
)
def test_a_last_tenth_of_another_kind_is_noticed(text, differs, kind):
    corpus = Text(text, kind).load(8)
    assert (difference(corpus.train.ids, corpus.val.ids) > 0.25) == differs


@pytest.mark.parametrize("n", [2, 10, 50])
def test_tiny_texts_have_no_difference_by_chance(n):
    ids = torch.randint(5, (n,), generator=torch.Generator().manual_seed(n))
    assert difference(ids[: n * 9 // 10], ids[n * 9 // 10 :]) < 0.25


@pytest.mark.parametrize("kind", [CharTokenizer, WordTokenizer])
def test_a_loaded_tokenizer_keeps_the_split(kind, tmp_path):
    (tmp_path / "a.txt").write_text("to be or not to be. " * 500)
    source = TextFiles(str(tmp_path / "a.txt"), "word" if kind is WordTokenizer else "char", split="interleaved")
    first = source.load(8)
    again = source.load(8, first.tokenizer)
    assert again.val.ids.equal(first.val.ids)
