"""Text on disk is the same as text in memory."""

import json
import os

import pytest
import torch

from headscope.data import corpus, decoding, textfiles
from headscope.data.textfiles import TextFiles
from headscope.data.tokenizers import CharTokenizer, LineTokenizer
from headscope.data.tokenizers.base import smallest_dtype
from headscope.errors import UserError

TEXT = ("First Citizen:\r\nBäume, ↵ 𝒳 and \N{SNOWMAN}\n" * 200, "second file " * 300, "é")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "CHUNK", 101)  # 101 bytes per read split characters of several bytes
    (tmp_path / "text").mkdir()
    for number, text in enumerate(TEXT):
        (tmp_path / "text" / f"{number}.txt").write_bytes((b"\xef\xbb\xbf" if number == 1 else b"") + text.encode())
    return tmp_path


def load(folder, monkeypatch, large, kind="char"):
    monkeypatch.setattr(textfiles, "LARGE", large)
    return TextFiles(str(folder / "text"), kind, data_dir=str(folder)).load(8)


@pytest.mark.parametrize("kind", ["char", "word", "bpe"])
def test_the_array_on_disk_equals_the_text_in_memory(folder, monkeypatch, kind):
    memory, disk = load(folder, monkeypatch, 10**9, kind), load(folder, monkeypatch, 0, kind)
    assert disk.tokenizer.arguments == memory.tokenizer.arguments
    assert disk.sha256 == memory.sha256
    assert disk.tokens == memory.tokens
    for split in ("train", "val"):
        assert torch.equal(getattr(disk, split).ids, getattr(memory, split).ids)
        assert getattr(disk, split).ids.dtype == smallest_dtype(len(disk.tokenizer))


def test_a_large_text_after_lines_is_running_text(folder, monkeypatch):
    """In running text, a newline does not end an example, for texts of any size."""
    monkeypatch.setattr(textfiles, "LARGE", 0)
    text = TextFiles(str(folder / "text"), data_dir=str(folder))
    lines = LineTokenizer(vocab=sorted(set("".join(TEXT)) | {"\n"}))
    assert type(text.load(8, lines).tokenizer) is CharTokenizer


def test_it_is_made_once_and_again_when_the_source_changes(folder, monkeypatch):
    load(folder, monkeypatch, 0)
    assert sorted(p.suffix for p in (folder / "packed").iterdir()) == [".ids", ".json"]
    built = []
    monkeypatch.setattr(
        textfiles, "_write_array", lambda *a, build=textfiles._write_array: built.append(1) or build(*a)
    )
    load(folder, monkeypatch, 0)
    assert not built
    changed = folder / "text" / "2.txt"
    changed.write_text("more " * 50)
    assert "more " * 50 in _text(load(folder, monkeypatch, 0))
    assert len(built) == 1
    (array,) = (folder / "packed").glob("*.ids")
    os.truncate(array, 100)
    load(folder, monkeypatch, 0)
    assert len(built) == 2
    (manifest,) = (folder / "packed").glob("*.json")
    manifest.write_text("{")
    load(folder, monkeypatch, 0)
    assert len(built) == 3
    assert json.loads(manifest.read_text())["tokens"] > 0


def _text(corpus):
    return corpus.tokenizer.decode(torch.cat((corpus.train.ids, corpus.val.ids)).tolist())


def test_what_is_not_utf8_leaves_nothing(folder, monkeypatch):
    (folder / "text" / "3.txt").write_bytes(b"a" * 500 + b"\xff\xfe")
    with pytest.raises(UserError, match=r"3\.txt is not UTF-8"):
        load(folder, monkeypatch, 0)
    assert not (folder / "packed").exists()


def test_the_validation_split_of_much_text_is_bounded(folder, monkeypatch):
    monkeypatch.setattr(corpus, "MAX_VALIDATION", 50)
    assert len(load(folder, monkeypatch, 0).val.ids) == 50
