"""Text to ids and back."""

import itertools
import re
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headscope.data.pydoc import PyDoc
from headscope.data.tokenizers import BytePairTokenizer, CharTokenizer, UnknownToken, WordTokenizer
from headscope.data.tokenizers.base import between_tokens, smallest_dtype, tokenize
from headscope.data.tokenizers.bytepair import BYTES
from headscope.errors import UserError


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (CharTokenizer, "Bäume, ↵\n\t𝒳 and\r\nmore"),
        (WordTokenizer, "to be\nor not to be ,\n\nthat"),
        (BytePairTokenizer, " Bäume,  ↵\n\n\t𝒳 and and and\r\n more \0\n"),
    ],
)
def test_decoding_gives_the_text_back(kind, text):
    tokenizer, ids = tokenize(text, kind)
    assert tokenizer.decode(ids) == text
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert ids.max() < len(tokenizer)
    again = kind(**tokenizer.arguments)
    assert torch.equal(again.encode(text), ids.long())
    assert again.decode(ids) == text


def test_characters_and_words_stand_in_code_point_order():
    assert tokenize("hello, wörld 𝒳", CharTokenizer)[0].vocab == sorted(set("hello, wörld 𝒳"))
    assert tokenize("to be or\nnot to be", WordTokenizer)[0].vocab == ["\n", "be", "not", "or", "to"]


@pytest.mark.parametrize(
    ("tokenizer", "text", "message"),
    [
        (CharTokenizer(vocab=["a", "\n"]), "aéb", r"unknown character 'é': .* has 2 characters \('a' '\\n'\)"),
        (WordTokenizer(vocab=["I", "love"]), "I love pizza", r"unknown word 'pizza': .* has 2 words \('I' 'love'\)"),
        (WordTokenizer(vocab=["I"]), "I\nI", r"unknown word '\\n': .* has 1 word \('I'\)"),
        (CharTokenizer(vocab=[chr(i) for i in range(200)]), "☃", r"'☃': .* has 200 characters \(such as 'a' 'b'"),
        (CharTokenizer(vocab=["a"]), "a\udcff", r"unknown character '\\udcff'"),
        (BytePairTokenizer.of(["abc"], 256), "a\udcff", r"unknown token '\\udcff': .* has 256 tokens"),
    ],
)
def test_a_token_outside_the_vocabulary_is_named_in_a_line(tokenizer, text, message):
    with pytest.raises(UnknownToken, match=message) as error:
        tokenizer.encode(text)
    assert str(error.value).isprintable()


def test_the_smallest_type_holds_the_vocabulary():
    assert [smallest_dtype(v) for v in (1, 256, 257, 32768, 32769)] == [
        torch.uint8,
        torch.uint8,
        torch.int16,
        torch.int16,
        torch.int32,
    ]


@pytest.mark.parametrize("kind", [CharTokenizer, WordTokenizer, BytePairTokenizer])
@pytest.mark.parametrize(
    "text",
    [
        "A line, and\n\n  another  with   spaces \n" * 20 + "and a long last line without an end " * 9,
        "words    with     many   spaces and  no line ends " * 40,
        "tabs\tand\rother\u2003white \xa0 space " * 40,
    ],
)
@pytest.mark.parametrize("length", [61, 64, 67])
def test_text_cut_between_tokens_has_the_same_tokens(kind, text, length):
    tokenizer, ids = tokenize(text, kind)
    pieces = list(between_tokens(text[i : i + length] for i in range(0, len(text), length)))
    assert "".join(pieces) == text
    assert len(pieces) > 10
    assert torch.cat([tokenizer.encode(p) for p in pieces]).tolist() == ids.tolist()
    assert kind.of(pieces, 1024).arguments == tokenizer.arguments


def test_byte_pairs_are_fewer_the_same_each_time_and_as_many_as_asked_for():
    text = PyDoc().read()[:100_000]
    tokenizer, ids = tokenize(text, BytePairTokenizer, 400)
    again, same = tokenize(text, BytePairTokenizer, 400)
    assert len(tokenizer) == 400
    assert len(ids) < 0.6 * len(text)
    assert again.arguments == tokenizer.arguments
    assert torch.equal(ids, same)
    assert tokenizer.show(int(tokenizer.encode(" the")[0])) == " the"
    assert tokenizer.decode(tokenizer.encode("日本 é")) == "日本 é", (
        "a sequence of bytes that was not in the training text"
    )


def test_words_are_joined_as_a_substitution_in_the_whole_text_would():
    vocab = ["\n", "to", "be", ","]
    tokenizer = WordTokenizer(vocab=vocab)
    for n in range(6):
        for ids in itertools.product(range(4), repeat=n):
            joined = " ".join(vocab[i] for i in ids)
            assert tokenizer.decode(ids) == re.sub(" ?\n ?", "\n", joined)


PAIRS = BytePairTokenizer.of(["日本語 é \N{GRINNING FACE} to be or not to be " * 9], 300)


@given(st.lists(st.integers(0, len(PAIRS) - 1)))
def test_byte_pairs_decode_as_their_library_does(ids):
    from tokenizers.decoders import ByteLevel

    assert PAIRS.decode(ids) == ByteLevel().decode([PAIRS.vocab[i] for i in ids])


def test_the_bytes_are_those_of_the_library():
    from tokenizers.pre_tokenizers import ByteLevel

    assert sorted(BYTES) == sorted(ByteLevel.alphabet())
    assert sorted(BYTES.values()) == list(range(256))


@pytest.mark.parametrize(
    ("tokenizer", "opening"),
    [
        (CharTokenizer(vocab=["a", "\n"]), "\n"),
        (CharTokenizer(vocab=["b", "a"]), "b"),
        (WordTokenizer(vocab=["<pad>", "<eos>", "the", "mat"]), "the"),
        (WordTokenizer(vocab=["a", "b", "\n"]), "\n"),
        (PAIRS, "\n"),
        (WordTokenizer(vocab=["<eos>"]), "<eos>"),
    ],
)
def test_text_opens_with_a_newline_or_a_word(tokenizer, opening):
    assert tokenizer.decode([tokenizer.opening]) == opening


@pytest.mark.parametrize("arguments", [{"vocab": ["a", "a"]}, {"vocab": ["ab"]}, {"vocab": [1]}, {"vocab": [["a"]]}])
def test_a_vocabulary_is_different_texts(arguments):
    with pytest.raises((ValueError, TypeError)):
        CharTokenizer(**arguments)


@pytest.mark.parametrize(
    "changes",
    [{"vocab": PAIRS.vocab[1:]}, {"merges": ["a"]}, {"merges": [7]}, {"merges": ["a nowhere"]}, {"merges": ["a \x00"]}],
)
def test_byte_pairs_are_all_bytes_and_merges_of_tokens(changes):
    with pytest.raises(ValueError, match=r"byte|merge"):
        BytePairTokenizer(**PAIRS.arguments | changes)


def test_without_the_library_byte_pairs_say_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(UserError, match="byte pairs need the tokenizers library: pip install"):
        PyDoc("bpe").load(8)


def test_every_byte_pair_token_is_shown_as_itself():
    tokenizer = BytePairTokenizer.of(["€ and \N{SNOWMAN} and more " * 20], 300)
    shown = [tokenizer.show(i) for i in range(len(tokenizer))]
    assert len(set(shown)) == len(shown), "incomplete characters have different labels"
    assert r"\xe2" in shown
    for i, text in enumerate(shown):
        if "\\x" not in text:
            assert text == tokenizer.decode([i])


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        ("\u0301", r"'\u0301'"),
        ("\u20dd", r"'\u20dd'"),
        ("\ufe0f", r"'\ufe0f'"),
        ("\u200d", r"'\u200d'"),
        ("\u00a0", r"'\xa0'"),
        ("\r", r"'\r'"),
        ("\udce9", r"'\udce9'"),
        ("\u00e9", "'\u00e9'"),
        ("'", '"\'"'),
    ],
)
def test_an_unknown_character_can_be_read(token, shown):
    with pytest.raises(UnknownToken) as error:
        CharTokenizer(vocab=["a"]).encode(f"a{token}")
    assert str(error.value).startswith(f"unknown character {shown}: the model's vocabulary has")
    assert str(error.value).endswith("; write the text without it")


def test_a_known_mark_can_be_read_in_the_list_of_known_characters():
    with pytest.raises(UnknownToken, match=re.escape(r"has 2 characters ('a' '\u0301')")):
        CharTokenizer(vocab=["a", "\u0301"]).encode("b")
    with pytest.raises(UnknownToken, match="unknown word 'cafe\u0301'"):
        WordTokenizer(vocab=["a"]).encode("cafe\u0301")
