"""Standard streams: any locale, closed streams, readers that end early, input that belongs to another process."""

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.conftest import ROOT, shell

TINY = (
    *("model.n_layers=1", "model.d_model=32", "model.n_heads=2", "model.block_size=16", "trainer.max_steps=20"),
    *("trainer.val_check_interval=10", "data=pydoc", "trainer.threads=1"),
)
C_LOCALE = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


@pytest.fixture(scope="module")
def strange(tmp_path_factory):
    """Trains a model that writes only characters outside ASCII; returns the run's folder and the finished process."""
    folder = tmp_path_factory.mktemp("strange")
    (folder / "text.txt").write_text("\u00e9\u2713\u4e2d\u0416\n" * 400)
    text = ("data=text", f"data.path={folder}/text.txt", "callbacks=none", "logger=none")
    done = shell("train.py", *TINY, *text, f"hydra.run.dir={folder}/run", **C_LOCALE)
    assert done.returncode == 0, done.stderr
    return folder / "run", done


def test_training_in_the_c_locale_loses_no_line(strange):
    folder, done = strange
    log = (folder / "train.log").read_text(encoding="utf-8")
    for text in (done.stdout, log):
        assert " parameters" in text
        assert "python generate.py" in text
    assert "\u2713" in log
    assert "\\u2713" in done.stdout


@pytest.mark.parametrize("show", [(), ("show=next",)])
@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        pytest.param(C_LOCALE, marks=pytest.mark.slow),
        pytest.param({"PYTHONIOENCODING": "latin-1"}, marks=pytest.mark.slow),
    ],
)
def test_any_encoding_shows_any_text(strange, environment, show):
    checkpoint = f"checkpoint={strange[0]}/checkpoints/best.ckpt"
    done = shell("generate.py", checkpoint, "max_new_tokens=50", *show, **environment)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "\\u2713" in done.stdout


def test_a_reader_that_leaves_stops_no_training(tmp_path):
    command = " ".join([sys.executable, "train.py", *TINY, f"hydra.run.dir={tmp_path}/run"])
    done = subprocess.run(
        ["bash", "-c", f"{command} 2>&1 </dev/null | head -1; exit ${{PIPESTATUS[0]}}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["status"] == "completed"


@pytest.mark.slow
def test_a_reader_that_leaves_ends_writing_quietly(strange):
    command = f"{sys.executable} generate.py checkpoint={strange[0]}/checkpoints/best.ckpt max_new_tokens=20000"
    done = subprocess.run(
        ["bash", "-c", f"{command} </dev/null | head -c 10 >/dev/null; exit ${{PIPESTATUS[0]}}"],
        cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert "Error" not in done.stderr


@pytest.mark.parametrize("closed", ["<&- >&-", pytest.param("<&- >&- 2>&-", marks=pytest.mark.slow)])
def test_closed_streams_stop_nothing(tmp_path, closed):
    command = " ".join([sys.executable, "train.py", *TINY, f"hydra.run.dir={tmp_path}/run"])
    done = subprocess.run(["bash", "-c", f"{command} {closed}"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["status"] == "completed"
    assert " parameters" in (tmp_path / "run" / "train.log").read_text()


def test_the_small_commands_have_safe_streams_too():
    done = shell("-m", "headscope.walkthrough", "toy", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "cats" in done.stdout
    closed = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m headscope.walkthrough toy >&- 2>&-"], cwd=ROOT, check=False
    )
    assert closed.returncode == 0


LOOP = "while read line; do {command} >/dev/null 2>&1; echo $line; done"


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["printf 'a\\nb\\nc\\n' | {loop}", "{loop} < {list}"])
def test_a_list_that_a_shell_reads_is_not_eaten(strange, tmp_path, shape):
    (tmp_path / "list").write_text("a\nb\nc\n")
    command = f"{sys.executable} generate.py checkpoint={strange[0]}/checkpoints/best.ckpt max_new_tokens=1"
    line = shape.format(loop=LOOP.format(command=command), list=tmp_path / "list")
    done = subprocess.run(["bash", "-c", line], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == ["a", "b", "c"], done.stderr


def test_waiting_for_a_prompt_is_said(strange):
    process = subprocess.Popen(
        [sys.executable, "generate.py", f"checkpoint={strange[0]}/checkpoints/best.ckpt", "max_new_tokens=1"],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert "reading the prompt from standard input" in process.stderr.readline()
    out, _ = process.communicate("\u2713\n")
    assert out.startswith("\u2713")
    assert process.returncode == 0


def test_interrupted_behind_tee_the_exit_code_is_still_that_of_the_signal(tmp_path):
    command = [sys.executable, "train.py", *TINY, "trainer.max_steps=100000", f"hydra.run.dir={tmp_path}/run"]
    read, write = os.pipe()
    process = subprocess.Popen(command, cwd=ROOT, stdout=write, stderr=write)
    os.close(write)
    with os.fdopen(read) as output:
        for line in output:
            if line.startswith("step "):
                break
    process.send_signal(signal.SIGINT)  # the reader has ended, as `tee` does after Ctrl-C
    assert process.wait(60) == 130
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["status"] == "interrupted"


@pytest.mark.parametrize("home", [None, "/proc/nowhere", "/dev/null"])
def test_no_home_folder_is_needed(home, tmp_path):
    """Tests home folders that are unset, missing or not writable."""
    env = {} if home is None else {"HOME": home}
    without = {k: v for k, v in os.environ.items() if k not in ("HOME", "MPLCONFIGDIR") and not k.startswith("XDG_")}
    short = (*TINY, "trainer.max_steps=2", "trainer.val_check_interval=1", f"hydra.run.dir={tmp_path}/run")
    for command in (("train.py", *short), ("generate.py", f"checkpoint={tmp_path}/run", "show=heads")):
        done = subprocess.run(
            [sys.executable, *command], cwd=ROOT, env=without | env, capture_output=True, text=True, timeout=300,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["status"] == "completed"
