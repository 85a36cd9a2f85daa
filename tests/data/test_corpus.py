"""Running text as a corpus: its two splits, and the project's own sources of text."""

import hashlib

import pytest

from headscope.data.corpus import TextSource
from headscope.data.pydoc import PyDoc
from headscope.data.shakespeare import TinyShakespeare, Unavailable
from headscope.data.tokenizers import EOS, PAD, BytePairTokenizer, CharTokenizer, WordTokenizer
from headscope.errors import UserError


class Text(TextSource):
    """A source of one given text."""

    name = "a text"

    def __init__(self, text, tokenizer="char"):
        super().__init__(tokenizer, 256)
        self.text = text

    def read(self):
        return self.text


def test_text_is_split_by_position():
    text = PyDoc().read()
    corpus = PyDoc().load(64)
    border = int(len(text) * 0.9)
    assert corpus.tokenizer.decode(corpus.train.ids) == text[:border]
    assert corpus.tokenizer.decode(corpus.val.ids) == text[border:]
    assert corpus.sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert corpus.tokens == len(text) > 400_000


def test_a_character_that_only_validation_has_is_in_the_vocabulary():
    assert "z" in Text("ab" * 50 + "z").load(4).tokenizer.vocab


def probe_texts(windows, n, longest=4):
    """Returns the probe texts of a corpus whose validation split has these windows of four characters."""
    corpus = Text("abcd\n" * 200 + "a").load(4)
    corpus.val.ids = corpus.tokenizer.encode("".join(windows) + "a")
    return [corpus.tokenizer.decode(ids) for ids in corpus.passages(n, longest)]


def test_probe_texts_do_not_begin_with_the_same_token_twice():
    """An attention sink divides its weight among equal first tokens. Blank lines begin such windows."""
    windows = ["\n\nab", "abab", "\n\n\n\n", "cdcd", "\nabc", "aabb", "dcba", "abcc"]
    assert probe_texts(windows, 4) == ["abab", "cdcd", "\nabc", "dcba"]
    assert probe_texts(windows, 2, 3) == ["aba", "cdc"]


def test_probe_texts_are_the_first_windows_if_no_token_is_doubled():
    windows = ["abab", "bcbc", "cdcd", "dada", "acac"]
    assert probe_texts(windows, 3) == windows[:3]
    assert probe_texts(windows, 3, 1) == ["a", "b", "c"]


def test_there_are_as_many_probe_texts_even_if_all_begin_with_doubled_tokens():
    windows = ["aabb", "\n\nab", "abcd", "ccdd"]
    assert probe_texts(windows, 3) == ["abcd", "aabb", "\n\nab"]
    assert probe_texts(windows[:2] + windows[3:], 5) == ["aabb", "\n\nab", "ccdd"]


@pytest.mark.parametrize(
    ("text", "kind", "has", "advice"),
    [
        ("", "char", "0 characters", "more text$"),
        ("a", "char", "1 character,", "more text$"),
        ("abc", "char", "3 characters", "more text$"),
        ("abcdefghij", "char", "10 characters", "more text$"),
        ("a b \n" * 40, "char", "200 characters", "more text or shorten the context to model.block_size=19$"),
        (" \t ", "word", "0 words", "more text$"),
        ("to be or not to be", "word", "6 words", "more text$"),
        ("abc", "bpe", "3 tokens", "more text$"),
    ],
)
def test_a_text_that_is_too_short_says_what_it_has_and_what_is_needed(text, kind, has, advice):
    with pytest.raises(UserError, match=f"a text is too short: it has {has}.* at least 641; use {advice}"):
        Text(text, kind).load(64)


@pytest.mark.parametrize("block_size", [1, 2, 7, 64, 99])
def test_as_many_tokens_as_are_asked_for_are_enough_and_one_less_is_not(block_size):
    needed = 10 * block_size + 1
    corpus = Text("x" * needed).load(block_size)
    assert len(corpus.val) == 1
    with pytest.raises(UserError, match=f"needs at least {needed};"):
        Text("x" * (needed - 1)).load(block_size)


def test_the_context_that_the_advice_names_fits():
    Text("a b \n" * 40).load(19)
    with pytest.raises(UserError, match="too short"):
        Text("a b \n" * 40).load(20)


CHARACTERS = CharTokenizer(vocab=["a", "b", " ", "\n"])
TOY = WordTokenizer(vocab=["I", "love", "cats", PAD, EOS])
WORDS = WordTokenizer(vocab=["a", "b", "\n"])
BYTE_PAIRS = BytePairTokenizer.of(["to be or not to be " * 9], 260)


@pytest.mark.parametrize(
    ("tokenizer", "text"),
    [(CHARACTERS, "ab \n"), (TOY, "I love cats "), (WORDS, "a b\n"), (BYTE_PAIRS, "a\n"), (BYTE_PAIRS, "\N{SNOWMAN}")],
)
def test_an_earlier_tokenizer_that_knows_the_text_is_used(tokenizer, text):
    corpus = Text(text * 50).load(4, tokenizer)
    assert corpus.tokenizer is tokenizer
    assert tokenizer.decode([*corpus.train.ids, *corpus.val.ids]).split() == (text * 50).split()


@pytest.mark.parametrize(
    ("tokenizer", "text", "unknown"),
    [
        (CHARACTERS, "a cab", "character 'c'"),
        (CHARACTERS, "a\tb", r"character '\\t'"),
        (TOY, "I love dogs ", "word 'dogs'"),
        (TOY, "I love\ncats", r"word '\\n'"),
        (WORDS, "a " + "c" * 1000 + " ", r"word 'ccccc\S*\.\.\.\S*ccc'"),
    ],
)
def test_one_that_does_not_is_refused_in_a_line(tokenizer, text, unknown):
    with pytest.raises(UserError, match=f"a text does not fit the checkpoint's tokenizer: unknown {unknown}") as error:
        Text(text * 50).load(4, tokenizer)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300


def test_an_existing_file_is_verified_and_left_alone(tmp_path):
    path = tmp_path / "tiny_shakespeare.txt"
    path.write_text("Not Shakespeare")
    with pytest.raises(UserError, match=r"is not tiny Shakespeare .* left unchanged"):
        TinyShakespeare(str(tmp_path), fallback="pydoc").load(8)
    assert path.read_text() == "Not Shakespeare"
    path.unlink()
    path.mkdir()
    with pytest.raises(UserError, match=r"tiny_shakespeare.txt could not be read: Is a directory"):
        TinyShakespeare(str(tmp_path)).load(8)


def test_the_fallback_is_taken_only_when_asked_for(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(TinyShakespeare, "url", "http://127.0.0.1:1/input.txt")
    monkeypatch.setattr("headscope.data.shakespeare.time.sleep", lambda seconds: None)
    with pytest.raises(Unavailable):
        TinyShakespeare(str(tmp_path)).load(8)
    corpus = TinyShakespeare(str(tmp_path), fallback="pydoc").load(8)
    assert corpus.name == "pydoc"
    assert "training on pydoc instead" in caplog.text
