"""Text to ids and back."""

import sys

import pytest
import torch

from headscope.data.sources import PyDoc
from headscope.data.tokenizers import BytePairTokenizer, CharTokenizer, WordTokenizer
from headscope.data.tokenizers.base import between_tokens, narrowest, tokenize
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


def test_a_token_outside_the_vocabulary_is_named():
    with pytest.raises(UserError, match="character 'é' is not in the model's vocabulary"):
        CharTokenizer(vocab=["a", "b"]).encode("abé")
    with pytest.raises(UserError, match=r"word 'pizza' is not in the model's vocabulary .I love cats"):
        WordTokenizer(vocab=["I", "love", "cats"]).encode("I love pizza")


def test_the_narrowest_type_holds_the_vocabulary():
    assert [narrowest(v) for v in (1, 256, 257, 32768, 32769)] == [
        torch.uint8,
        torch.uint8,
        torch.int16,
        torch.int16,
        torch.int32,
    ]


@pytest.mark.parametrize("kind", [CharTokenizer, WordTokenizer, BytePairTokenizer])
def test_text_cut_between_tokens_has_the_same_tokens(kind):
    text = "A line, and\n\n  another  with   spaces \n" * 20 + "and a long last line without an end " * 9
    tokenizer, ids = tokenize(text, kind)
    pieces = list(between_tokens(text[i : i + 61] for i in range(0, len(text), 61)))
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
    assert tokenizer.decode(tokenizer.encode("日本 é")) == "日本 é", "bytes it has never seen together"


@pytest.mark.parametrize("arguments", [{"vocab": ["a", "a"]}, {"vocab": ["ab"]}, {"vocab": [1]}, {"vocab": [["a"]]}])
def test_a_vocabulary_is_different_texts(arguments):
    with pytest.raises((ValueError, TypeError)):
        CharTokenizer(**arguments)


def test_without_the_library_byte_pairs_say_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(UserError, match="byte pairs need the tokenizers library: pip install"):
        PyDoc("bpe").load(8)
