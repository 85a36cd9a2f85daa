"""Sentences as a corpus."""

import os

import pytest

from headscope.data.sentences import Toy
from headscope.data.tokenizers import BytePairTokenizer, CharTokenizer, WordTokenizer
from headscope.errors import UserError

EXAMPLE = ["I", "love", "cats", "dogs", "<pad>", "<eos>"]


def test_the_example_has_the_vocabulary_of_its_document():
    corpus = Toy().load(8)
    assert corpus.tokenizer.vocab == EXAMPLE
    assert corpus.tokenizer.decode(corpus.train.x[0]) == "I love cats"
    assert corpus.note == "validates on its training sentences"


@pytest.mark.parametrize(
    ("sentences", "vocabulary", "expected"),
    [
        (["the cat sat on the mat"], None, ["the", "cat", "sat", "on", "mat", "<pad>", "<eos>"]),
        (["the mat", "a cat"], [], ["the", "mat", "a", "cat", "<pad>", "<eos>"]),
        (["the mat"], ["dogs", "mat"], ["the", "mat", "dogs", "<pad>", "<eos>"]),
        (["I love cats", "I love dogs"], None, EXAMPLE),
        (None, [], ["I", "love", "cats", "<pad>", "<eos>"]),
        (None, ["I", "love", "cats", "dogs"], EXAMPLE),
        (["<pad> said he <eos>"], ["<eos>"], ["said", "he", "<pad>", "<eos>"]),
    ],
)
def test_a_vocabulary_begins_with_the_first_sentence_and_ends_with_what_is_no_word(sentences, vocabulary, expected):
    tokenizer = Toy(sentences, vocabulary=vocabulary).load(8).tokenizer
    assert tokenizer.vocab == expected
    assert tokenizer.opening == 0


def test_sentences_come_from_a_file_too(tmp_path):
    (tmp_path / "s.txt").write_text("you love big dogs\n\nI love cats\n")
    corpus = Toy(path=str(tmp_path / "s.txt")).load(8)
    assert len(corpus.train) == 2
    assert corpus.tokenizer.vocab == ["you", "love", "big", "dogs", "I", "cats", "<pad>", "<eos>"]


@pytest.mark.parametrize("arguments", [{"sentences": []}, {"sentences": ["", " \t"]}, {"path": os.devnull}])
def test_no_sentences(arguments):
    with pytest.raises(UserError, match="no sentences"):
        Toy(**arguments).load(8)


@pytest.mark.parametrize(
    ("tokenizer", "message"),
    [
        (CharTokenizer(vocab=sorted(set("<pad><eos>I love cats"))), "the sentences need words, <pad> and <eos>"),
        (WordTokenizer(vocab=["I", "love", "cats"]), "the sentences need words, <pad> and <eos>"),
        (WordTokenizer(vocab=["I", "love", "cats", "<eos>"]), "the sentences need words, <pad> and <eos>"),
        (BytePairTokenizer.of(["<pad> <eos> I love cats " * 9], 300), "the sentences need words, <pad> and <eos>"),
        (WordTokenizer(vocab=["I", "love", "<pad>", "<eos>"]), "unknown word 'cats'"),
    ],
)
def test_a_tokenizer_of_another_kind_does_not_fit(tokenizer, message):
    with pytest.raises(UserError, match=f"data=toy does not fit the checkpoint's tokenizer: .*{message}") as error:
        Toy().load(8, tokenizer)
    assert "\n" not in str(error.value)


def test_a_tokenizer_of_other_sentences_fits_if_it_knows_the_words():
    tokenizer = WordTokenizer(vocab=["cats", "love", "we", "<eos>", "I", "<pad>"])
    corpus = Toy().load(8, tokenizer)
    assert corpus.train.x.tolist() == [[4, 1, 0]]
    assert corpus.train.y.tolist() == [[1, 0, 3]]
