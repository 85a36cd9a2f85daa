"""A run that is stopped in any way and resumed ends with the same bits as an uninterrupted run."""

import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import STORE_EVERYTHING_SIZE_GUIDANCE, EventAccumulator

from tests.conftest import ROOT, shell
from tests.inside import train

#: With dropout, accumulation, an optimizer with two rules, and a number of steps that the interval does not divide.
RUN = (
    *("train.py", "data=pydoc", "model.d_model=32", "model.n_layers=2", "model.block_size=32", "model.dropout=0.1"),
    *("position=rope", "feedforward=relu2", "qk_norm=unit", "optimizer=muon"),
    *("trainer.max_steps=90", "trainer.val_check_interval=20", "trainer.accumulate_grad_batches=2"),
)


def stop_at(folder, command, line, signum):
    """Runs a command, and sends it a signal (or calls `signum`) after a line; returns the exit code and the output."""
    process = subprocess.Popen(
        [sys.executable, *map(str, command)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    output = ""
    for text in process.stdout:
        output += text
        if line in text:
            signum(process) if callable(signum) else process.send_signal(signum)
            break
    output += process.stdout.read()
    process.stdout.close()
    return process.wait(timeout=60), output


def weights(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def assert_same_run(a, b):
    one, two = weights(a), weights(b)
    assert one["global_step"] == two["global_step"]
    for name, weight in one["state_dict"].items():
        assert torch.equal(weight, two["state_dict"][name]), name
    for i, state in one["optimizer_states"][0]["state"].items():
        for name, value in state.items():
            assert torch.equal(value, two["optimizer_states"][0]["state"][i][name])
    x, y = (json.loads((f / "summary.json").read_text()) for f in (a, b))
    for key in ("val_loss", "best_val_loss", "train_loss", "steps", "status"):
        assert x[key] == y[key], key
    assert [(h["step"], h["val_loss"]) for h in x["history"]] == [(h["step"], h["val_loss"]) for h in y["history"]]
    assert steps_of(a) == steps_of(b)
    assert (a / "heads.csv").read_text() == (b / "heads.csv").read_text(), "no step may be missing or appear twice"
    assert (a / "film.gz").read_bytes() == (b / "film.gz").read_bytes()
    drawn = [{p.relative_to(f): p.read_bytes() for p in f.rglob("*.png")} for f in (a, b)]
    assert drawn[0] == drawn[1], "both runs must have the same pictures"
    for folder in (a, b):
        strange = [f for f in files(folder) if not re.fullmatch(DECLARED, f)]
        assert not strange, "the folder has a file that docs/RUNS.md does not list"


DECLARED = (
    r"\.lock|changes\.json|\.hydra/(config|overrides)\.yaml|(train|job)\.log|heads\.csv|film\.gz|(summary|progress)\.json|checkpoints/(last|previous|best)\.ckpt"
    r"|events\.out\.tfevents\..*|projector_config\.pbtxt|projector/embedding/(tensors|metadata)\.tsv|pictures/.+_\d{6}\.png"
)


def files(folder):
    return [str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()]


def steps_of(folder):
    """Returns the steps, and the values of scalars, of every tag in TensorBoard."""
    events = EventAccumulator(str(folder), size_guidance=STORE_EVERYTHING_SIZE_GUIDANCE).Reload()
    tags = events.Tags()
    steps = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in tags["scalars"] if "speed" not in tag}
    steps |= {tag: [e.step for e in events.Images(tag)] for tag in tags["images"]}
    return steps | {tag: [e.step for e in events.Tensors(tag)] for tag in tags["tensors"]}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    done = shell(*RUN, f"hydra.run.dir={folder}")
    assert done.returncode == 0, done.stderr
    return folder


def test_stopped_killed_and_resumed_it_is_the_same_run(undisturbed, tmp_path):
    folder = tmp_path / "a 'run', stopped"  # a name that Hydra's grammar would misread
    quoted = str(folder).replace("'", "\\'")
    code, output = stop_at(folder, (*RUN, f"hydra.run.dir='{quoted}'"), "step     20/90", signal.SIGTERM)
    assert code == 143, output
    assert "stopped by SIGTERM; the checkpoint is saved" in output
    assert json.loads((folder / "summary.json").read_text())["status"] == "interrupted"
    code, output = stop_at(folder, ("train.py", f"resume={folder}"), "step     60/90", signal.SIGKILL)
    assert code == -signal.SIGKILL
    code, output = stop_at(folder, ("train.py", f"resume={folder}"), "step     80/90", signal.SIGINT)
    assert code == 130, output
    done = shell("train.py", f"resume={folder}")
    assert done.returncode == 0, done.stderr
    assert_same_run(undisturbed, folder)


def test_a_completed_run_says_so_and_can_be_extended(undisturbed):
    done = shell("train.py", f"resume={undisturbed}")
    assert done.returncode == 0
    assert "has completed; add trainer.max_steps=… to train further" in done.stdout
    mistyped = shell("train.py", f"resume={undisturbed}", "trainer.max_steps=95", "trainer.max_stepz=5")
    assert mistyped.returncode == 2
    assert "max_step" not in (undisturbed / ".hydra" / "overrides.yaml").read_text().replace("trainer.max_steps=90", "")


@pytest.mark.slow
def test_an_extension_that_is_killed_is_not_complete(undisturbed, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(undisturbed, folder)
    command = ("train.py", f"resume={folder}", "trainer.max_steps=110")
    assert stop_at(folder, command, "on cpu x 1", signal.SIGKILL)[0] == -signal.SIGKILL
    done = shell("train.py", f"resume={folder}")
    assert done.returncode == 0, done.stderr
    assert json.loads((folder / "summary.json").read_text())["steps"] == 110


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(undisturbed, tmp_path):
    folder = tmp_path / "run"
    subprocess.run(["cp", "-r", undisturbed, folder], check=True)
    last = folder / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:5000])
    done = shell("train.py", f"resume={folder}", "trainer.max_steps=100", "schedule.final=0.1")
    assert done.returncode == 0, done.stderr
    assert "last.ckpt is damaged; trying the previous checkpoint" in done.stdout
    assert "at step 80" in done.stdout
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["steps"] == 100
    assert [h["step"] for h in summary["history"]] == [20, 40, 60, 80, 100]
    assert "trainer.max_steps=100" in (folder / ".hydra" / "overrides.yaml").read_text()
    assert "trainer.max_steps=100" in summary["overrides"]


@pytest.mark.parametrize("there", [("last", "previous"), ("last",), ("previous",), ()], ids=" ".join)
def test_where_no_checkpoint_can_be_read_nothing_begins_again(there, undisturbed, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(undisturbed, folder)
    for name in ("last", "previous"):
        file = folder / "checkpoints" / f"{name}.ckpt"
        file.write_bytes(file.read_bytes()[:5000]) if name in there else file.unlink()
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name not in (".lock", "train.log")}
    code, printed = train(f"resume={folder}", "trainer.max_steps=100")
    assert code == 2
    files = " and ".join(f"{folder}/checkpoints/{name}.ckpt" for name in there or ("last", "previous"))
    assert f"error: {files} cannot be read; restore one of them" in printed.splitlines()[-1]
    assert f"start a new run with init={folder}/checkpoints/best.ckpt in a new folder" in printed
    after = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name not in (".lock", "train.log")}
    assert after == before


@pytest.mark.slow
def test_a_full_disk_leaves_the_last_good_checkpoint(undisturbed, tmp_path):
    """After the second validation, a limit stops all files from growing, which has the effect of a full disk."""
    folder = tmp_path / "run"

    def fill(process):
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))

    code, output = stop_at(folder, (*RUN, f"hydra.run.dir={folder}"), "step     40/90", fill)
    assert code == 3, output
    assert "error: the disk is full" in output
    assert "Traceback" not in output
    assert weights(folder)["global_step"] == 20
    assert {p.suffix for p in (folder / "checkpoints").iterdir()} == {".ckpt"}
    done = shell("train.py", f"resume={folder}")
    assert done.returncode == 0, done.stderr
    assert_same_run(undisturbed, folder)


@pytest.mark.slow
def test_other_text_under_the_same_name_is_not_resumed(tmp_path):
    (tmp_path / "a.txt").write_text("to be or not " * 100)
    run = ("train.py", "data=text", f"data.path={tmp_path}/a.txt", "model.block_size=8", "trainer.max_steps=2")
    assert shell(*run, "trainer.val_check_interval=1", f"hydra.run.dir={tmp_path}/run").returncode == 0
    (tmp_path / "a.txt").write_text("or not to be " * 100)
    done = shell("train.py", f"resume={tmp_path}/run", "trainer.max_steps=4")
    assert done.returncode == 2
    assert "a.txt is not the text that" in done.stderr


@pytest.mark.slow
def test_a_run_that_had_saved_nothing_starts_at_0(undisturbed, tmp_path):
    folder = tmp_path / "run"
    code, _ = stop_at(folder, (*RUN, f"hydra.run.dir={folder}"), "on cpu x 1", signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert not (folder / "checkpoints").exists()
    done = shell("train.py", f"resume={folder}")
    assert done.returncode == 0, done.stderr
    assert_same_run(undisturbed, folder)


def test_a_folder_with_a_run_is_not_overwritten(undisturbed):
    before = {p: p.read_bytes() for p in undisturbed.rglob("*") if p.is_file()}
    done = shell("train.py", "data=pydoc", "trainer.max_steps=1", f"hydra.run.dir={undisturbed}")
    assert done.returncode == 2
    assert "already contains a run; resume it with resume=" in done.stderr
    assert {p: p.read_bytes() for p in undisturbed.rglob("*") if p.is_file()} == before


def test_what_cannot_be_resumed_is_refused(tmp_path):
    for folder, message in ((f"{tmp_path}/nothing", "no run was started in"), ("", "resume= is empty")):
        done = shell("train.py", f"resume={folder}")
        assert done.returncode == 2
        assert message in done.stderr


TWO = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "trainer.threads=1")


def rank_1(folder):
    """Returns the process id of the second rank of a run."""
    found = subprocess.run(
        ["pgrep", "-f", f"{folder}.*train_ddp_process_1"], capture_output=True, text=True, check=True
    )
    return int(found.stdout.split()[0])


@pytest.mark.slow
def test_two_processes_stop_together_fail_together_and_resume_exactly(tmp_path):
    whole, folder = tmp_path / "whole", tmp_path / "run"
    assert shell(*RUN, *TWO, f"hydra.run.dir={whole}").returncode == 0
    code, output = stop_at(folder, (*RUN, *TWO, f"hydra.run.dir={folder}"), "step     20/90", signal.SIGTERM)
    assert code == 143, output
    assert output.count("stopped by SIGTERM") == 1
    for signum, line, wanted in ((signal.SIGTERM, "step     40/90", 143), (signal.SIGKILL, "step     60/90", 3)):
        command = ("train.py", f"resume={folder}")
        code, output = stop_at(folder, command, line, lambda _, signum=signum: os.kill(rank_1(folder), signum))
        assert code == wanted, output
        assert ("another process of this run died" in output) == (wanted == 3)
    done = shell("train.py", f"resume={folder}")
    assert done.returncode == 0, done.stderr
    assert_same_run(whole, folder)


@pytest.mark.slow
def test_twenty_kills_at_any_time_change_nothing(undisturbed, tmp_path):
    """Sends SIGKILL or SIGTERM at random moments: during start-up, training, validation and saving."""
    folder, rng = tmp_path / "run", random.Random(1)
    landed, tries = 0, 0
    while landed < 20:
        tries += 1
        assert tries < 80
        started = (folder / ".hydra" / "overrides.yaml").exists()
        command = ("train.py", f"resume={folder}") if started else (*RUN, f"hydra.run.dir={folder}")
        process = subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        try:
            # The first step starts after about 4 s, and all 90 steps take less than 3 s.
            process.wait(rng.uniform(0.5, 9))
        except subprocess.TimeoutExpired:
            process.send_signal(rng.choice((signal.SIGKILL, signal.SIGTERM)))
            landed += 1
        errors = process.stderr.read()
        process.stderr.close()
        code = process.wait(timeout=60)
        assert code in (0, 143, -signal.SIGTERM, -signal.SIGKILL), errors
        if code == 0 and landed < 20:
            if os.environ.get("CI"):
                print(f"completed after {landed} kills; starting over")
            assert_same_run(undisturbed, folder)
            subprocess.run(["rm", "-r", folder], check=True)
    if not (folder / ".hydra" / "overrides.yaml").exists():
        assert shell(*RUN, f"hydra.run.dir={folder}").returncode == 0
    done = shell("train.py", f"resume={folder}")
    assert done.returncode == 0, done.stderr
    assert_same_run(undisturbed, folder)


@pytest.mark.slow
def test_two_processes_end_whatever_is_sent_to_whom(tmp_path):
    """Sends SIGTERM ten times to the group and ten times to the second rank; a checkpoint is saved within 30 s."""
    folder, slowest = tmp_path / "run", 0.0
    command = (*RUN, *TWO, f"hydra.run.dir={folder}", "trainer.max_steps=100000")
    for i in range(20):
        process = subprocess.Popen(
            [sys.executable, *map(str, command if i == 0 else ("train.py", f"resume={folder}"))],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        output = ""
        for line in process.stdout:
            output += line
            if line.startswith("step "):
                break
        began, before = time.monotonic(), weights(folder)["global_step"] if i else 0
        if i % 2:
            os.kill(rank_1(folder), signal.SIGTERM)
        else:
            os.killpg(process.pid, signal.SIGTERM)
        output += process.stdout.read()
        process.stdout.close()
        assert process.wait(timeout=30) == 143, output
        slowest = max(slowest, time.monotonic() - began)
        assert weights(folder)["global_step"] > before
        assert json.loads((folder / "summary.json").read_text())["status"] == "interrupted"
        assert output.count("stopped by SIGTERM; the checkpoint is saved") == 1
    assert slowest < 30
    assert not subprocess.run(["pgrep", "-f", folder], capture_output=True, check=False).stdout, "no process is left"


@pytest.mark.slow
def test_ten_kills_of_one_of_two_processes_change_nothing(tmp_path):
    whole, folder, rng = tmp_path / "whole", tmp_path / "run", random.Random(2)
    assert shell(*RUN, *TWO, f"hydra.run.dir={whole}").returncode == 0

    def command():
        started = (folder / ".hydra" / "overrides.yaml").exists()  # a kill may come before the run has begun
        return ("train.py", f"resume={folder}") if started else (*RUN, *TWO, f"hydra.run.dir={folder}")

    landed = 0
    while landed < 10:
        process = subprocess.Popen(
            [sys.executable, *map(str, command())],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        killed = None
        try:
            process.wait(rng.uniform(5, 16))
        except subprocess.TimeoutExpired:
            killed = rng.choice(("the first", "the second"))
            try:
                os.kill(process.pid if killed == "the first" else rank_1(folder), signal.SIGKILL)
                landed += 1
            except subprocess.CalledProcessError:
                killed = None  # the second rank had not started, or had ended
        code = process.wait(timeout=60 if killed else 300)  # the other process also ends, within a minute
        errors = process.stderr.read()
        process.stderr.close()
        if killed == "the second":
            assert code in (0, 3), errors  # 0 if the first rank had already finished
            assert code == 0 or "another process of this run died" in errors
        wait_until_gone(folder)
        if (folder / "summary.json").exists() and code == 0 and landed < 10:
            assert_same_run(whole, folder)
            shutil.rmtree(folder)
    done = shell(*command())
    assert done.returncode == 0, done.stderr
    assert_same_run(whole, folder)


def wait_until_gone(folder):
    deadline = time.monotonic() + 60
    while subprocess.run(["pgrep", "-f", folder], capture_output=True, check=False).stdout:
        assert time.monotonic() < deadline, "a rank outlived the others"
        time.sleep(0.2)
