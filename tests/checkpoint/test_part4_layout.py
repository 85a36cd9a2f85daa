"""The tokenizer in Part 4's dictionary; test_checkpoint.py tests the weights."""

import io

import pytest
import torch

import headscope
from headscope.checkpoint import part4_layout
from headscope.data.tokenizers import EOS, PAD, BytePairTokenizer, CharTokenizer, WordTokenizer
from headscope.errors import UserError
from headscope.model.position import Sinusoidal
from tests.conftest import small

WORDS = WordTokenizer(vocab=["to", "be", "or", "not", "\n"])
LETTERS = WordTokenizer(vocab=["a", "b", "c", "d", "\n"])
TOY = WordTokenizer(vocab=["I", "x", PAD, EOS])
CHARACTERS = CharTokenizer(vocab=["\n", " ", "a", "b"])


def written(tokenizer, /, **changes):
    model = small(Sinusoidal, vocab_size=len(tokenizer))
    saved = torch.load(io.BytesIO(part4_layout.write(model, tokenizer, 1.5)), weights_only=True)
    return {k: v for k, v in (saved | changes).items() if v is not None}


def loaded(saved, path):
    torch.save(saved, path)
    return headscope.load(path).tokenizer


@pytest.mark.parametrize("tokenizer", [WORDS, LETTERS, TOY, CHARACTERS])
def test_a_tokenizer_keeps_its_class_and_its_ids(tokenizer, tmp_path):
    back = loaded(written(tokenizer), tmp_path / "a.pt")
    assert type(back) is type(tokenizer)
    assert back.vocab == tokenizer.vocab
    assert back.decode([0, 1, 2]) == tokenizer.decode([0, 1, 2])


@pytest.mark.parametrize(
    ("tokenizer", "kind"), [(WORDS, WordTokenizer), (CHARACTERS, CharTokenizer), (LETTERS, CharTokenizer)]
)
def test_the_class_of_tokenizer_in_a_file_that_part_4_wrote_is_guessed(tokenizer, kind, tmp_path):
    saved = written(tokenizer, tokenizer=None)
    assert saved.keys() == {"model_state_dict", "model_config", "stoi", "itos", "final_loss"}
    assert type(loaded(saved, tmp_path / "a.pt")) is kind


@pytest.mark.parametrize("kind", ["Popen", "BytePairTokenizer", "CharTokenizer", 7, ["WordTokenizer"]])
def test_an_invalid_class_of_tokenizer_is_refused(kind, tmp_path):
    with pytest.raises(UserError) as error:
        loaded(written(WORDS, tokenizer=kind), tmp_path / "a.pt")
    assert "\n" not in str(error.value)


def test_byte_pairs_are_refused():
    pairs = BytePairTokenizer.of(["abc"], 256)
    with pytest.raises(UserError, match="Part 4 has characters or words as tokens"):
        part4_layout.write(small(Sinusoidal, vocab_size=256), pairs, None)
