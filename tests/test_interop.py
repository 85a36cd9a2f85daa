"""Runs the commands of docs/INTEROP.md, one after the other, in an empty folder."""

import re
import shlex
import string

import pytest
import torch

from tests.checkpoint import nanogpt
from tests.conftest import ROOT, shell

BLOCKS = re.findall(r"```(bash|python)\n(.*?)```", (ROOT / "docs" / "INTEROP.md").read_text(), re.S)


@pytest.mark.slow
def test_every_command_runs_as_written(tmp_path):
    """Runs fewer steps, and a generated text of the same characters instead of tiny Shakespeare."""
    (tmp_path / "names.txt").write_text("\n".join(a + b for a in ("em", "av", "mi", "lu") for b in ("a", "ia", "na")))
    (tmp_path / "text.txt").write_text(("\n !$&',-.3:;?" + string.ascii_letters) * 60)
    folder = tmp_path / "nanoGPT" / "out-shakespeare-char"
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    nanogpt.save(nanogpt.GPT(n_embd=128, n_layer=4, block_size=64), folder / "ckpt.pt", compiled=True)
    printed = []
    for language, code in BLOCKS:
        commands = [["-c", code]]
        if language == "bash":
            commands = [shlex.split(line, comments=True)[1:] for line in code.splitlines()]
        for command in commands:
            if command[0].endswith(".py"):
                command[0] = str(ROOT / command[0])
            if "train.py" in command[0]:
                command = [re.sub(r"(max_steps)=\d+", r"\1=2", part) for part in command]
                if "data=lines" not in command:
                    command += ["data=text", "data.path=text.txt"]
            done = shell(*command, cwd=tmp_path)
            assert done.returncode == 0, (command, done.stderr)
            printed.append(done.stdout)
    assert len(printed) == 11
    assert printed[1].count("\n") == 5
    assert printed[2].startswith("em")
    assert printed[4].startswith("\nem")
    assert (tmp_path / "nanogpt.html").exists()
    assert "a GPT-2 for transformers" in printed[-1]
