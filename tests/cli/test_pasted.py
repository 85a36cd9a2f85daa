"""Every printed command runs when a user pastes it into a shell, for any names of folders."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from headscope.config.overrides import as_text, expand_home
from headscope.shell import argument
from tests.conftest import ROOT, shell

HOSTILE = [
    "run, lr=1e-3 (new)",
    'it\'s "so"',
    "$HOME `ls` #1",
    "~",
    "~root",
    "[a]{b}",
    "-m",
    "é ✓ 名",
    "a\\",
    "x=y;z&w|*?!",
]
TINY = (
    *("data=pydoc", "model.n_layers=1", "model.d_model=32", "model.n_heads=2", "model.block_size=16"),
    *("trainer.max_steps=2", "trainer.val_check_interval=1", "trainer.threads=1", "callbacks=none"),
)
names = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)


def pasted(line, folder, timeout=120):
    """Runs a line in a POSIX shell in which `python` is this interpreter."""
    (folder / "bin").mkdir(exist_ok=True)
    for name in ("python", "tensorboard"):
        program = Path(sys.executable).with_name(name)
        (folder / "bin" / name).write_text(f'#!/bin/sh\nexec {shlex.quote(str(program))} "$@"\n')
        (folder / "bin" / name).chmod(0o755)
    path = f"{folder}/bin:{os.environ['PATH']}"
    return subprocess.run(
        ["sh", "-c", line], cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True,
        stdin=subprocess.DEVNULL, timeout=timeout,
    )  # fmt: skip


KEYS = ("checkpoint", "resume", "init", "hydra.run.dir")


@given(st.sampled_from(KEYS), names)
def test_a_printed_path_reaches_the_run_as_it_was(key, name):
    if name in (".", "..") or "${" in name:
        return
    line = f"printf %s {argument(f'{key}=', f'{name}/x')}"
    typed = subprocess.run(["sh", "-c", line], capture_output=True, check=True).stdout.decode()
    if key == "resume":
        assert Path(expand_home(typed.removeprefix("resume="))) == Path(f"{name}/x")
        return
    (quoted,) = as_text([typed])
    assert Path(OverridesParser.create().parse_override(quoted).value()).absolute() == Path(f"{name}/x").absolute()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_printed_to_be_pasted(name):
    for key in KEYS:
        test_a_printed_path_reaches_the_run_as_it_was.hypothesis.inner_test(key, name)


def place(folder):
    """Creates a folder in which the commands work as in the root of the project."""
    folder.mkdir()
    for name in ("train.py", "generate.py", "conf"):
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", ["run, lr=1e-3 (new)", 'it\'s $HOME #1 "so"', "~ é ✓"])
def test_every_printed_command_runs(name, tmp_path):
    here = place(tmp_path / "here, é '$x'")
    text = here / f"text {name}.txt"
    text.write_text("to be or not to be, that is the question. " * 40)
    run = ("train.py", *TINY, "data=text", f"data.path={text}", f"name={name}", f"hydra.run.dir=./{name}/run")
    done = shell(*run, cwd=here)
    assert done.returncode == 0, done.stderr
    commands = re.findall(r"^  ((?:python|tensorboard) .*)$", done.stdout, re.MULTILINE)
    assert [c.split()[1] for c in commands] == ["generate.py"] * 3 + ["--logdir", "train.py"]
    for line in commands:
        again = pasted(f"{line} --inspect" if line.startswith("tensorboard") else line, here)
        assert again.returncode == 0, (line, again.stderr)
    refused = shell(*run, cwd=here)
    assert refused.returncode == 2
    resume = re.search(r"resume it with (.*), or choose", refused.stderr)[1]
    assert pasted(f"python train.py {resume} trainer.max_steps=4", here).returncode == 0
    assert json.loads((here / name / "run" / "summary.json").read_text())["steps"] == 4


@pytest.mark.slow
def test_what_is_printed_when_a_run_or_a_sweep_is_stopped_or_has_ended(tmp_path):
    here, name = place(tmp_path / "here"), "run, (1) $x 'é'"
    endless = (*TINY, "trainer.max_steps=1000000", "trainer.val_check_interval=500000")
    for folder in ("hydra.run.dir", "hydra.sweep.dir"):
        several = ("-m", "seed=1,2") if "sweep" in folder else ()
        process = subprocess.Popen(
            [sys.executable, "train.py", *several, *endless, f"{folder}={folder} {name}"],
            cwd=here, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while not list(here.glob(f"{folder}*/**/train.log")) and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(2)
        process.send_signal(signal.SIGTERM)
        printed = process.communicate(timeout=60)[1]
        assert process.returncode == 143, printed
        resume = re.search(r" with (.*)$", printed.strip())[1]
        again = pasted(f"python train.py {resume} trainer.max_steps=2 trainer.val_check_interval=1", here)
        steps = re.search(r"has already done (\d+) steps", again.stderr + again.stdout)
        assert steps, (again.stdout, again.stderr)
    assert "python train.py -m" in (here / f"hydra.sweep.dir {name}" / "report.md").read_text()


@pytest.mark.slow
def test_the_command_of_a_report_runs_the_sweep_again(tmp_path):
    here, name = place(tmp_path / "here"), "run, (1) $x 'é'"
    sweep = ("train.py", "-m", *TINY, "seed=1,2", f"name={name.replace(',', '')}", f"hydra.sweep.dir=sweep {name}")
    assert shell(*sweep, cwd=here).returncode == 0
    line = re.search(r"^python train.py .*$", (here / f"sweep {name}" / "report.md").read_text(), re.MULTILINE)[0]
    again = pasted(line, here)
    assert again.returncode == 0, again.stderr
    assert len(list(here.glob("outputs/*/*-sweep/*/summary.json"))) == 2
