"""An interleaved split takes its validation text from the whole text; the default split stays as it was."""

import re

import pytest
import torch

from headscope.data.corpus import TextSource, split_sections
from headscope.data.pydoc import PyDoc
from headscope.data.textfiles import TextFiles
from headscope.data.tokenizers import CharTokenizer, WordTokenizer
from headscope.data.windows import TextWindows
from headscope.run.split_check import difference

each_size = pytest.mark.parametrize("n", [70, 301, 5003])


@each_size
@pytest.mark.parametrize("sections", [1, 2, 7])
def test_the_two_texts_have_every_token_once_and_in_order(n, sections):
    validation = n // 10
    train, val = split_sections(torch.arange(n), validation, sections)
    assert torch.equal(torch.cat((train, val)).sort().values, torch.arange(n))
    for part in (train, val):
        assert torch.equal(part.sort().values, part)
        assert (part.diff() > 1).sum() <= sections - 1
    assert validation - sections < len(val) <= validation
    assert val[-1] == n - 1


@pytest.mark.parametrize(("n", "block_size"), [(41, 4), (81, 4), (300, 4), (1000, 8), (5003, 7), (20, 1), (50_000, 16)])
def test_a_short_text_has_few_sections(n, block_size):
    corpus = Text("ab" * (n // 2) + "c" * (n % 2), split="interleaved").load(block_size)
    sections = int(re.search(r"of each of (\d+) section", corpus.note)[1])
    assert sections == min(max((n - n * 9 // 10) // (4 * block_size), 1), 100)
    assert len(corpus.val.ids) > block_size
    assert len(corpus.train.ids) + len(corpus.val.ids) == n


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
    assert re.fullmatch(r"validates on the last tenth of each of \d+ sections", corpus.note)
    assert corpus.passages(5, 16).shape == (5, 16)
    text = corpus.tokenizer.decode(corpus.val.ids)
    if source is TextFiles:
        assert "to be" in text
        assert "67890" in text


ENGLISH = "The operator is not a name, and the value of an expression is an object. " * 60
GERMAN = "Der schnelle braune Fuchs springt über den faulen Hund und läuft zurück in den Wald. "


class Text(TextSource):
    name = "a text"

    def __init__(self, text, tokenizer="char", split="last"):
        super().__init__(tokenizer, split=split)
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
