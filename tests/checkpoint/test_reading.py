"""Adding a format of another program takes one module and one row of `reading.FORMATS`."""

import json

import pytest
import torch

import headscope
from headscope.checkpoint import reading
from headscope.checkpoint.format import card
from headscope.checkpoint.source import UnsupportedModel
from headscope.data.tokenizers import CharTokenizer
from headscope.errors import UserError
from tests.conftest import small

MAGIC = b"TEXT"


def recognises(source):
    return source.path.is_file() and source.path.read_bytes().startswith(MAGIC)


def read(source):
    """A format that stores only a description of the model; when read, all weights are zero."""
    described = json.loads(source.path.read_bytes().removeprefix(MAGIC))
    if described["model"]["n_heads"] == 1:
        raise UnsupportedModel("it has one head")
    return described, {name: torch.zeros_like(weight) for name, weight in small().state_dict().items()}


@pytest.fixture
def path(monkeypatch, tmp_path):
    monkeypatch.setattr(reading, "FORMATS", ((recognises, read), *reading.FORMATS))
    described = card(small(), CharTokenizer(vocab=list("abcdefghijk")), name="mine", data={"name": "letters"})
    (tmp_path / "model.txt").write_bytes(MAGIC + json.dumps(described).encode())
    return tmp_path / "model.txt"


def test_a_format_is_one_row(path):
    model, tokenizer, about = headscope.load(path)
    assert model(torch.zeros(1, 4, dtype=torch.long)).eq(0).all()
    assert (tokenizer.vocab[2], about["name"]) == ("c", "mine")


def test_a_refusal_names_the_file_and_the_difference(path):
    path.write_bytes(path.read_bytes().replace(b'"n_heads": 2', b'"n_heads": 1'))
    with pytest.raises(UserError, match=r"model\.txt cannot be used: it has one head$"):
        headscope.load(path)


def test_a_damaged_file_names_the_error(path):
    path.write_bytes(MAGIC + b"{")
    with pytest.raises(UserError, match=r"model\.txt is damaged or from another version \(JSONDecodeError\)"):
        headscope.load(path)
