"""Descriptions are read from a file only if they are about the same weights."""

import pytest
import torch

from headscope.heads import kept
from headscope.heads.kept import described, texts
from headscope.packing import pack
from tests.conftest import small

VOCAB = list("\n abcdefghi")
IDS = torch.randint(11, (12, 10), generator=torch.Generator().manual_seed(0))
ABOUT = {"texts": {"fitting": pack(IDS), "held_out": pack(IDS[:4])}}


@pytest.fixture
def fits(monkeypatch):
    """Counts how often heads are described."""
    calls, describe = [], kept.describe_attention
    monkeypatch.setattr(kept, "describe_attention", lambda *args: calls.append(1) or describe(*args))
    return calls


def test_the_heads_of_the_same_weights_are_described_once(fits, tmp_path):
    files = [tmp_path / "run.json", tmp_path / "own.json"]
    first = described(small(), VOCAB, "character", ABOUT, files)
    assert [f.exists() for f in files] == [False, True]
    assert [d.facts() for d in described(small(), VOCAB, "character", ABOUT, files)] == [d.facts() for d in first]
    assert len(fits) == 1
    described(small(seed=1), VOCAB, "character", ABOUT, files)
    assert len(fits) == 2


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"version": 1, "weights": "other", "heads": []}', "null"])
def test_a_damaged_file_or_one_about_other_weights_is_replaced(fits, tmp_path, content):
    file = tmp_path / "own.json"
    file.write_text(content)
    described(small(), VOCAB, "character", ABOUT, [file])
    described(small(), VOCAB, "character", ABOUT, [file])
    assert len(fits) == 1


def test_a_file_that_cannot_be_written_is_no_error(fits, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert len(described(small(), VOCAB, "character", ABOUT, [tmp_path / "file" / "own.json"])) == 4
    assert "the descriptions are not kept" in capsys.readouterr().err


@pytest.mark.parametrize("about", [{}, {"texts": {}}, {"texts": {k: pack(IDS[:, :3]) for k in ABOUT["texts"]}}])
def test_checkpoints_without_texts_or_with_short_ones_have_no_descriptions(fits, about):
    assert texts(about, 11) is None
    assert described(small(), VOCAB, "character", about, []) == []
    assert not fits
