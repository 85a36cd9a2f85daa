"""Text from a file reaches a terminal without control characters; files and pipes get it unchanged."""

import logging
import os
import subprocess
import sys

import pytest
import torch
from rich.console import Console

import headscope
from headscope import checkpoint
from headscope.checkpoint.export import export
from headscope.data.tokenizers import CharTokenizer
from headscope.run.console import ConsoleHandler
from headscope.shell import printable
from tests.conftest import ROOT, shell, small

HOSTILE = "\x1b]0;title\x07\x1b[2Jred\x9b31m\r"
ESCAPED = r"\x1b]0;title\x07\x1b[2Jred\x9b31m\r"


def save(path, name="run", data="test", vocab=None, **changes):
    """A checkpoint whose texts are hostile, and whose model writes an escape after every token."""
    tokenizer = CharTokenizer(vocab=vocab or list("\x1b\n\tabcdefgh"))
    model = small()
    torch.nn.init.zeros_(model.head.weight)
    torch.nn.init.constant_(model.head.bias, -100.0)
    model.head.bias.data[0] = 100.0
    card = checkpoint.card(model, tokenizer, name=name, data={"name": data}) | changes
    torch.save({"state_dict": {f"model.{k}": v for k, v in model.state_dict().items()}, "headscope": card}, path)
    return path


def on_a_terminal(*command):
    """What a command writes to a terminal."""
    ours, theirs = os.openpty()
    with subprocess.Popen([sys.executable, *map(str, command)], cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs):
        os.close(theirs)
        found = b""
        while True:
            try:
                found += os.read(ours, 4096)
            except OSError:  # the command has ended
                break
    os.close(ours)
    return found.decode()


def test_names_in_a_checkpoint_are_printable(tmp_path):
    about = headscope.load(save(tmp_path / "a.ckpt", HOSTILE, HOSTILE)).about
    assert (about["name"], about["data"]["name"]) == (ESCAPED, ESCAPED)
    (tmp_path / "a.safetensors").write_bytes(export(tmp_path / "a.ckpt", "safetensors"))
    assert headscope.load(tmp_path / "a.safetensors").about["name"] == ESCAPED


def test_a_terminal_gets_no_control_characters(tmp_path):
    path = save(tmp_path / "a.ckpt", HOSTILE, HOSTILE)
    command = ("generate.py", f"checkpoint={path}", "prompt=a", "max_new_tokens=3")
    found = on_a_terminal(*command)
    assert found.splitlines() == [f"{ESCAPED}, trained on {ESCAPED}: {path}", r"a\x1b\x1b\x1b"]
    assert shell(*command).stdout == "a\x1b\x1b\x1b\n"


@pytest.mark.parametrize(
    "changes",
    [
        {"tokenizer": {"class": "CharTokenizer", "vocab": ["a"], HOSTILE: 1}},
        {"tokenizer": {"class": HOSTILE, "vocab": ["a"]}},
        {"about": {"name": "run", "step": HOSTILE}},
    ],
    ids=["field", "class", "value"],
)
def test_an_error_message_has_no_control_characters(changes, tmp_path):
    done = shell("generate.py", f"checkpoint={save(tmp_path / 'a.ckpt', **changes)}", "prompt=a")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.strip().isprintable()
    assert "title" in done.stderr


@pytest.mark.parametrize("is_terminal", [True, False])
def test_log_lines_on_a_terminal_have_no_control_characters(is_terminal, monkeypatch, tmp_path):
    with (tmp_path / "out").open("w+", newline="") as out:
        monkeypatch.setattr(sys, "stdout", out)
        shared = Console(file=out, force_terminal=is_terminal, color_system=None)
        monkeypatch.setattr("headscope.run.console.console", lambda: shared)
        ConsoleHandler().emit(logging.LogRecord("a", logging.INFO, "", 0, "\na\x1b[2Jb\tc", None, None))
        out.seek(0)
        assert (r"\x1b[2J" in out.read()) is is_terminal


def test_other_characters_stay():
    text = "café 日本語 \N{GRINNING FACE}\u200d שלום\n\t~"
    assert printable(text) == text


@pytest.mark.parametrize("character", ["\u202e", "\u2066", "\u200b", "\ufeff", "\u2028", "\u2029", "\u00ad"], ids=ascii)
def test_invisible_characters_and_line_separators_are_escaped(character):
    assert printable(f"a{character}b") == f"a{ascii(character)[1:-1]}b"
