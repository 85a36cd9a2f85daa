"""Classes of tokens for several languages, for code, and for tokens of several characters."""

import pytest

from headscope.data.tokenizers import BytePairTokenizer
from headscope.heads.token_classes import CLASSES, Vocabulary, has_whole_words, is_word, starts_word, token_classes
from tests.heads.texts import samples

MEMBERS = {
    "newline": ["\n", "\n\n", ";\n"],
    "space": [" ", "    ", "\t", "\u3000"],
    "punctuation mark": [".", "…", "。", "+", " (", "==", "“"],
    "end mark": [".", "?", "…", "。", "！", '."', "!)", " end."],
    "digit": ["7", " 42", "2023"],
    "capital": ["A", "É", "Я", "Ω", " The"],
    "uppercase word": ["KING", " NATO", "ЯЗЫК"],
    "vowel": ["a", "y", "é", "ö", "я", "ω", "å"],
    "consonant": ["b", "ß", "ç", "ж", "ψ"],
    "letter": ["a", "Ж", "我", "ब", " the", "Abc"],
}
OTHERS = {
    "newline": [" ", "n", ""],
    "space": ["\n", " a", ""],
    "punctuation mark": ["_", "a", "1", " ", "", "don't", "\u093f"],
    "end mark": [",", "a", "", "3.14", ")"],
    "digit": ["a1", "", "a"],
    "capital": ["a", "我", "1", " the", ""],
    "uppercase word": ["K", "King", "A1", "12"],
    "vowel": ["A", "b", "ae", "我", "1", "", " ", "ا"],
    "consonant": ["B", "a", "bc", "我", "1", "", "ب", "-"],
    "letter": ["1", "_", " ", "", "."],
}


@pytest.mark.parametrize("name", CLASSES)
def test_members(name):
    for token in MEMBERS[name]:
        assert CLASSES[name](token), token
    for token in OTHERS[name]:
        assert not CLASSES[name](token), token


@pytest.mark.parametrize("token", ["a", "7", "_", "我", "don't", "\u093f", "\u094d"])  # the last two: Hindi i, virama
def test_words(token):
    assert is_word(token)
    assert not is_word("'")
    assert not is_word(" ")
    assert not is_word("")


def test_every_character_of_unicode_has_classes():
    """Some letters have no name in Python's tables."""
    for code in range(0, 0x110000, 7):
        for is_member in CLASSES.values():
            assert isinstance(is_member(chr(code)), bool)


def classes(name):
    return token_classes(samples()[name][1].text).keys()


def test_each_kind_of_text_has_the_classes_that_make_sense():
    assert classes("code") == {
        "newline",
        "space",
        "punctuation mark",
        "end mark",
        "digit",
        "vowel",
        "consonant",
        "letter",
    }
    assert classes("Chinese") == {"newline", "space", "punctuation mark", "end mark", "digit", "capital", "letter"}
    assert classes("names") == {"newline", "capital", "vowel", "consonant", "letter"}
    assert classes("words") >= {"newline", "end mark", "digit", "capital", "uppercase word"}


def test_of_two_equal_classes_the_first_is_kept():
    assert token_classes(["1", "2"]) == {}
    assert token_classes(["a", "1"]).keys() == {"digit", "vowel"}  # the letters are the vowels


def test_word_starts():
    pairs = [" the", "ing", "\n", " ", " (", "我们", "7", "\tx", "_"]
    assert starts_word(pairs).tolist() == [True, False, False, False, False, True, False, True, False]
    words = ["the", "-", "\n", "cat,"]
    assert has_whole_words(words)
    assert not has_whole_words(pairs)
    assert not has_whole_words([*"abc\n"])
    assert starts_word(words).tolist() == [True, False, False, True]


def test_bytes_of_incomplete_characters_are_parts_of_words():
    """A byte-pair vocabulary that has never seen Chinese splits each character into bytes."""
    tokenizer = BytePairTokenizer.of(["a b"], 256)
    vocabulary = Vocabulary(tokenizer.shown)
    fragments = tokenizer.encode("我")
    assert len(fragments) == 3
    assert vocabulary.words[fragments].all()
    assert not vocabulary.classes["punctuation mark"][fragments].any()
