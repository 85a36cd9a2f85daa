"""Fixtures for the tests of all walks."""

import pytest
import torch

from headscope import checkpoint
from headscope.data.tokenizers import CharTokenizer
from headscope.shell import run as run_command
from headscope.walkthrough.__main__ import main
from tests.conftest import small

TEXT = "the cat sat on the mat, and the dog sat on the cat\n"


@pytest.fixture(autouse=True)
def _one_thread():
    """Uses one thread, as the command does, and restores the number of threads afterwards."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def walk(monkeypatch, capsys):
    """Runs the command in this process; returns exit code, standard output and standard error."""

    def run(*arguments, columns=80):
        monkeypatch.setattr("sys.argv", ["walkthrough", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", str(columns))
        try:
            run_command(main)
        except SystemExit as e:
            code = e.code
        return code, *capsys.readouterr()

    return run


def save(path, position=None, passages=True, **sizes):
    """Saves a checkpoint of a small random model whose tokens are characters; returns model and tokenizer."""
    tokenizer = CharTokenizer(vocab=sorted(set(TEXT)))
    arguments = {"position": position} if position else {}
    model = small(vocab_size=len(tokenizer), block_size=32, **arguments, **sizes)
    ids = tokenizer.encode(TEXT)
    if passages is True:
        passages = [ids[i : i + 16].tolist() for i in range(8)]
    kept = {"passages": passages} if passages else {}
    card = checkpoint.card(model, tokenizer, name="tiny", data={"name": "cats"}, **kept)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": {f"model.{k}": v for k, v in model.state_dict().items()}, "headscope": card,
                "global_step": 7}, path)  # fmt: skip
    return model.eval(), tokenizer


@pytest.fixture
def run_folder(tmp_path, monkeypatch):
    """Creates `outputs/` with one run in an empty folder; returns the checkpoint, model and tokenizer."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "outputs" / "day" / "time" / "checkpoints" / "best.ckpt"
    return path, *save(path)
