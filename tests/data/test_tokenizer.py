"""Text to ids and back."""

import pytest
import torch

from headscope.data.tokenizer import CharTokenizer, WordTokenizer, narrowest, tokenize
from headscope.errors import UserError


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (CharTokenizer, "Bäume, ↵\n\t𝒳 and\r\nmore"),
        (WordTokenizer, "to be\nor not to be ,\n\nthat"),
    ],
)
def test_decoding_gives_the_text_back(kind, text):
    tokenizer, ids = tokenize(text, kind)
    assert tokenizer.decode(ids) == text
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.vocab == sorted(set(tokenizer.vocab))
    assert ids.max() == len(tokenizer) - 1


def test_the_fast_path_for_characters_is_the_same_as_the_slow():
    text = "hello, wörld 𝒳"
    fast, ids = tokenize(text, CharTokenizer)
    assert fast.vocab == sorted(set(text))
    assert ids.tolist() == CharTokenizer(vocab=sorted(set(text))).encode(text).tolist()


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
