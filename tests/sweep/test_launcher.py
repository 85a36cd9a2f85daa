"""Sweeps: their jobs, how they end, and how they resume."""

import json
import re
import signal
import subprocess
import sys
import time
from types import SimpleNamespace
from unittest.mock import patch

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from headscope.config.overrides import quote
from headscope.errors import RunFailed, UserError
from headscope.run.folder import RunFolder
from headscope.sweep.jobs import Job, Manifest, claim_folder, folder_name
from headscope.sweep.launcher import combinations, launch, named_jobs
from headscope.sweep.pool import Pool, gpus_of, visible_gpus
from tests.cli.test_commands import refused
from tests.conftest import ROOT, shell
from tests.sweep.conftest import JOB, Pretend, ranking, table


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"position": "rope", "seed": "1"}, "03-rope-s1"),
        ({"heads": "h8", "optimizer.lr": "0.0030"}, "03-h8-lr0.003"),
        ({"optimizer.lr": "0.000123456789"}, "03-lr0.0001235"),
        ({"optimizer.lr": "1.2345678e-05"}, "03-lr1.235e-05"),
        ({"trainer.compile": "true", "data.path": "/a/b c.txt"}, "03-compiletrue-abc.txt"),
        ({"data.sentences": "[I love cats]"}, "03-sentencesIlovecats"),
        ({"optimizer.betas": "[0.9,0.95]", "name": "°"}, "03-betas0.90.95"),
        ({}, "03"),
    ],
)
def test_folders_have_short_readable_names(values, name):
    assert folder_name(3, values) == name


def test_every_combination_of_what_a_file_and_a_person_gave():
    jobs = combinations({"position": "rope,alibi", "seed": "1,2"}, ["-m", "seed=3,4", "batch_size=8"][1:], None)
    assert jobs == [[f"position={p}", f"seed={s}", "batch_size=8"] for p in ("rope", "alibi") for s in ("3", "4")]
    with pytest.raises(UserError, match="only sweep=search accepts intervals"):
        combinations({}, ["optimizer.lr=interval(0, 1)"], None)


def grid(*typed):
    return combinations({}, list(typed), None)


def unnamed(*typed):
    return [Job("", tuple(o)) for o in grid(*typed)]


NEW = Manifest((), ())


def test_a_sweep_that_grows_keeps_its_names(tmp_path):
    first = named_jobs(unnamed("position=rope,alibi", "seed=1,2", "batch_size=8"), NEW, tmp_path)
    assert [j.name for j in first.jobs] == ["00-rope-s1", "01-rope-s2", "02-alibi-s1", "03-alibi-s2"]
    grown = named_jobs(unnamed("position=rope,alibi", "seed=1,2,3", "batch_size=16"), first, tmp_path)
    assert [j.name for j in grown.jobs] == [
        "00-rope-s1",
        "01-rope-s2",
        "04-rope-s3",
        "02-alibi-s1",
        "03-alibi-s2",
        "05-alibi-s3",
    ]


def test_a_seed_that_is_swept_only_now_is_found_in_the_config(tmp_path):
    first = named_jobs(unnamed("position=rope,none"), NEW, tmp_path)
    for job in first.jobs:
        (tmp_path / job.name / ".hydra").mkdir(parents=True)
        (tmp_path / job.name / ".hydra" / "config.yaml").write_text("seed: 1\nmodel: {d_model: 8}\n")
    grown = named_jobs(unnamed("position=rope,none", "seed=1,2"), first, tmp_path)
    assert [j.name for j in grown.jobs] == ["00-rope", "02-rope-s2", "01-none", "03-none-s2"]


def names(folder):
    return [job.name for job in Manifest.read(folder).jobs]


def test_batches_of_hydras_sweeper_are_different_jobs_and_resume_under_their_names(tmp_path, next_process):
    """Each batch varies only the seed, so only the second batch shows that the position differs."""
    batches = [[[f"position={p}", f"seed={s}"] for s in (1, 2)] for p in ("rope", "none")]
    runner = Pretend(tmp_path)
    for number, batch in enumerate(batches):
        launch(tmp_path, batch, runner, first=2 * number)
    assert names(tmp_path) == ["00-s1", "01-s2", "02-s1-none", "03-s2-none"]
    assert json.loads((tmp_path / "sweep.json").read_text())["swept"] == ["seed", "position"]
    next_process(tmp_path)
    again = Pretend(tmp_path)
    for batch in [*batches, [["position=alibi", "seed=1"]]]:
        launch(tmp_path, batch, again)
    assert again.launched == [(0, "04-s1-alibi")]


def test_the_index_of_the_first_job_numbers_the_folders(tmp_path):
    launch(tmp_path, [["seed=1"], ["seed=2"]], Pretend(tmp_path), first=5)
    assert names(tmp_path) == ["05-s1", "06-s2"]


def test_hydra_gets_the_losses_and_the_errors_of_all_jobs(tmp_path):
    def loss(values):
        if values["seed"] == 2:
            raise ValueError("the loss is not finite")
        return values["seed"] / 4

    returned = launch(tmp_path, grid("seed=1,2,3"), Pretend(tmp_path, loss))
    assert [r.status.name for r in returned] == ["COMPLETED", "FAILED", "COMPLETED"]
    assert [list(r.overrides) for r in returned] == [["seed=1"], ["seed=2"], ["seed=3"]]
    assert [returned[0].return_value, returned[2].return_value] == [0.25, 0.75]
    with pytest.raises(RunFailed, match="the loss is not finite"):
        returned[1].return_value  # noqa: B018


def test_a_process_that_dies_in_another_launcher_is_a_job_that_failed(tmp_path, capsys):
    class Dying(Pretend):
        def launch(self, job_overrides, initial_job_idx):
            super().launch(job_overrides[:1], initial_job_idx)
            raise RuntimeError("job 7 has not produced any output\nmore lines")

    returned = launch(tmp_path, grid("seed=1,2"), Dying(tmp_path))
    assert [r.status.name for r in returned] == ["COMPLETED", "FAILED"]
    assert "2/2 01-s2 failed: job 7 has not produced any output\n" in capsys.readouterr().out


def test_what_completed_jobs_were_trained_with_is_a_fact(tmp_path, next_process):
    """Changed overrides apply to jobs that are not complete; an override that would apply to no job is refused."""
    overrides = {"00-s1": ("seed=1", "optimizer.lr=0.003"), "01-s2": ("seed=2", "optimizer.lr=0.003")}

    def resume(*typed):
        next_process(tmp_path)
        runner = Pretend(tmp_path)
        launch(tmp_path, grid(*typed), runner)
        return [name for _, name in runner.launched], {j.name: j.overrides for j in Manifest.read(tmp_path).jobs}

    assert resume("seed=1,2", "optimizer.lr=0.003") == (["00-s1", "01-s2"], overrides)
    before = (tmp_path / "sweep.json").read_bytes()
    for new in ("optimizer.lr=0.05", "trainer.max_steps=20", "trainer.max_steps=10"):
        with pytest.raises(UserError, match=f"have ended without {new}; "):
            resume("seed=1,2", "optimizer.lr=0.003", new)
    assert (tmp_path / "sweep.json").read_bytes() == before
    assert resume("seed=1,2", "optimizer.lr=0.003") == ([], overrides)
    added = overrides | {"02-s3": ("seed=3", "optimizer.lr=0.05")}
    for launched in (["02-s3"], []):  # the second call has no jobs left to run
        assert resume("seed=1,2,3", "optimizer.lr=0.05") == (launched, added)
    longer = resume("seed=1,2,3", "optimizer.lr=0.05", "trainer.max_steps=40")
    assert longer[0] == ["00-s1", "01-s2", "02-s3"]
    assert longer[1]["00-s1"] == ("seed=1", "optimizer.lr=0.05", "trainer.max_steps=40")


def test_a_job_that_never_started_and_is_not_asked_for_any_more_is_forgotten(tmp_path, next_process):
    class Killed(Pretend):
        def launch(self, job_overrides, initial_job_idx):
            super().launch(job_overrides[:1], initial_job_idx)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        launch(tmp_path, grid("seed=1,2,3"), Killed(tmp_path))
    assert names(tmp_path) == ["00-s1", "01-s2", "02-s3"]
    next_process(tmp_path)
    runner = Pretend(tmp_path)
    launch(tmp_path, grid("seed=2,4"), runner)
    assert [name for _, name in runner.launched] == ["01-s2", "03-s4"]
    assert names(tmp_path) == ["00-s1", "01-s2", "03-s4"], "jobs that were trained are kept"


def test_a_default_that_is_typed_only_now_is_no_change(tmp_path, next_process):
    launch(tmp_path, grid("seed=1,2"), Pretend(tmp_path))
    for name in ("00-s1", "01-s2"):
        RunFolder(tmp_path / name).record({"seed": int(name[-1]), "batch_size": 16}, [f"seed={name[-1]}"])
    next_process(tmp_path)
    launch(tmp_path, grid("seed=1,2", "batch_size=16"), Pretend(tmp_path))
    assert [job.overrides for job in Manifest.read(tmp_path).jobs] == [
        ("seed=1", "batch_size=16"),
        ("seed=2", "batch_size=16"),
    ]


def test_the_same_value_twice_is_one_job():
    assert combinations({}, ["seed=1,1,2"], None) == [["seed=1"], ["seed=2"]]
    with pytest.raises(UserError, match="leave out -m"):
        combinations({}, ["task=validate", "seed=1,2"], None)


def test_each_job_has_its_own_gpus(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    listed = SimpleNamespace(stdout="".join(f"GPU {i}: H100\n  MIG 1g\n" for i in range(4)))
    with patch.object(subprocess, "run", return_value=listed):
        four = visible_gpus()
    assert [gpus_of(slot, 1, four) for slot in range(4)] == ["0", "1", "2", "3"]
    assert [gpus_of(slot, 2, four) for slot in range(2)] == ["0,1", "2,3"]
    for visible, gpus in (("5,7", ["5", "7"]), ("", []), ("-1", []), ("3,-1", ["3"])):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert visible_gpus() == gpus
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    with patch.object(subprocess, "run", side_effect=FileNotFoundError):
        assert visible_gpus() == []


def test_any_folder_can_be_quoted():
    from hydra.core.override_parser.overrides_parser import OverridesParser

    for text in ("/a b/c", "it's, {x} $y", "a\\b", "ends\\"):
        assert OverridesParser.create().parse_override(f"x={quote(text)}").value() == text


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ("=== start\nall is well\n", ""),
        ("=== start\nrun\nerror: no such thing\n", "no such thing"),
        ("=== start\nerror: the first\n=== again\nfine\n", ""),
        ("=== start\nno end of the line, then\nerror: killed\n", "killed"),
        ("=== start\nTraceback (most recent call last):\n  File\nKeyError: 'x'\n", "KeyError: 'x'"),
    ],
)
def test_the_reason_of_a_failure_is_the_last_word(tmp_path, log, reason):
    (tmp_path / "job.log").write_text(log)
    assert RunFolder(tmp_path).failure() == reason
    assert RunFolder(tmp_path).status().state == ("failed" if reason else "waiting")


def test_a_folder_in_use_and_numbers_out_of_range_are_refused(tmp_path):
    for n_jobs, gpus in ((0, 1), ("two", 1), (1, 0), (1, None)):
        with pytest.raises(UserError, match="must be an integer of at least 1"):
            Pool(tmp_path, n_jobs, gpus)
    Manifest((), (Job("00", ()),)).write(tmp_path)
    for _ in range(2):
        with pytest.raises(UserError, match="resume them with resume="):
            claim_folder(tmp_path)
    (tmp_path / "sweep.json").write_text("{")
    with pytest.raises(UserError, match=r"sweep\.json is damaged"):
        Manifest.read(tmp_path)


def test_a_failing_job_is_named_and_the_others_complete(swept):
    folder, done = swept
    assert done.returncode == 1
    assert "Traceback" not in done.stderr + done.stdout
    assert "error: 2 of 4 jobs did not complete\n  02-h6-s1: 6 heads do not divide the width d_model=32" in done.stderr
    assert {name: row[0] for name, row in table(folder).items()} == {"00-h4-s1": "completed", "01-h4-s2": "completed"}
    report = (folder / "report.md").read_text()
    assert "6 heads do not divide" in report
    assert "4 jobs: 2 completed, 2 failed. Swept: 2 of heads × 2 of seed." in report


def test_a_finished_sweep_reruns_what_failed_and_nothing_else(swept):
    folder, _ = swept
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("checkpoints/*")}
    done = shell("train.py", f"resume={folder}")
    assert done.returncode == 1
    assert "00-h4-s1 completed" in done.stdout
    assert "00-h4-s1 started" not in done.stdout
    assert "02-h6-s1 started" in done.stdout
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("checkpoints/*")} == before


def test_an_option_that_does_not_exist_refuses_the_whole_sweep(tmp_path):
    line = refused(shell("train.py", "-m", *JOB, "position=rope,ropee", f"hydra.sweep.dir={tmp_path}/s"))
    assert "there is no position=ropee" in line
    assert not (tmp_path / "s").exists()
    assert "must be an integer of at least 1" in refused(
        shell("train.py", "sweep=search", *JOB, "hydra.sweeper.n_trials=0", f"hydra.sweep.dir={tmp_path}/s")
    )
    line = refused(
        shell("train.py", "-m", *JOB, "seed=1,2", "hydra.launcher.n_jobs=0", f"hydra.sweep.dir={tmp_path}/s")
    )
    assert "hydra.launcher.n_jobs=0" in line


def test_hparams_have_every_run_and_every_swept_column(swept):
    folder, _ = swept
    from tensorboard.plugins.hparams import plugin_data_pb2

    for run in ("00-h4-s1", "01-h4-s2"):
        found = EventAccumulator(str(folder / run)).Reload()
        assert {"val/loss", "val/loss_best"} <= set(found.Tags()["scalars"])
        content = found.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
        hparams = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
        assert {"heads", "seed", "position", "model.n_heads", "optimizer.lr"} <= set(hparams)
        assert hparams["heads"].string_value == "h4"


GRID = ("train.py", "-m", *JOB, "position=rope,alibi", "heads=h2,h4", "seed=1,2,3")


@pytest.fixture(scope="module")
def twelve(tmp_path_factory):
    folder = tmp_path_factory.mktemp("twelve") / "s"
    began = time.monotonic()
    done = shell(*GRID, "hydra.launcher.n_jobs=2", f"hydra.sweep.dir={folder}", timeout=600)
    assert done.returncode == 0, done.stderr
    print(f"12 jobs, 2 at once: {time.monotonic() - began:.1f} s")
    return folder


@pytest.mark.slow
def test_killed_half_way_and_resumed_the_table_is_the_same(twelve, tmp_path):
    folder = tmp_path / "s"
    process = subprocess.Popen(
        [sys.executable, *GRID, "hydra.launcher.n_jobs=2", f"hydra.sweep.dir={folder}"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while sum(row[0] == "completed" for row in table(folder).values()) < 5:
        assert process.poll() is None
        time.sleep(0.1)
    time.sleep(2)
    process.kill()  # kills only the launcher; its jobs must notice and end
    process.wait()
    deadline = time.monotonic() + 10
    while subprocess.run(["pgrep", "-f", folder], capture_output=True, check=False).stdout:
        assert time.monotonic() < deadline, "a job outlived the launcher"
        time.sleep(0.1)
    completed = [name for name, row in table(folder).items() if row[0] == "completed"]
    assert 5 <= len(completed) < 12
    before = {name: (folder / name / "summary.json").stat().st_mtime_ns for name in completed}
    done = shell("train.py", f"resume={folder}", timeout=600)
    assert done.returncode == 0, done.stderr
    assert {name: (folder / name / "summary.json").stat().st_mtime_ns for name in completed} == before
    assert table(folder) == table(twelve)
    assert ranking(folder) == ranking(twelve)


@pytest.mark.slow
def test_losses_do_not_depend_on_how_many_jobs_run_at_once(twelve, tmp_path):
    folder = tmp_path / "s"
    done = shell(*GRID[:-1], "seed=1", "hydra.launcher.n_jobs=1", f"hydra.sweep.dir={folder}", timeout=600)
    assert done.returncode == 0, done.stderr
    alone = {row[1:] for row in table(folder).values()}
    assert len(alone) == 4
    assert alone <= {row[1:] for row in table(twelve).values()}


@pytest.mark.slow
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_told_to_stop_a_sweep_saves_and_goes_on(tmp_path, signum, code):
    folder = tmp_path / "s"
    job = ("trainer.max_steps=400", "trainer.val_check_interval=20")
    command = ("train.py", "-m", *JOB, *job, "seed=1,2,3", "hydra.launcher.n_jobs=2", f"hydra.sweep.dir={folder}")
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    while len(list(folder.glob("*/checkpoints/last.ckpt"))) < 2:
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signum)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == code, output
    assert f"stopped by {signum.name}; resume the sweep with resume={folder}" in output
    assert [row[0] for row in table(folder).values()] == ["interrupted", "interrupted"]
    done = shell("train.py", f"resume={folder}")
    assert done.returncode == 0, done.stderr
    assert [row[0] for row in table(folder).values()] == ["completed"] * 3


@pytest.mark.slow
def test_a_job_of_two_processes_and_one_that_crashes(tmp_path):
    folder = tmp_path / "s"
    two = ("trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu")
    command = ("train.py", "-m", *JOB[:4], *JOB[5:], *two, "seed=1", "optimizer.lr=1e-3,1e30")
    done = shell(*command, f"hydra.sweep.dir={folder}")
    assert done.returncode == 1
    summary = json.loads((folder / "00-lr0.001" / "summary.json").read_text())
    assert summary["hardware"]["devices"] == 2
    assert summary["status"] == "completed"
    assert "01-lr1e30: the loss at step" in done.stderr
    assert "is not finite" in (folder / "report.md").read_text()


@pytest.mark.slow
def test_the_path_to_a_cluster_works_with_its_local_executor(tmp_path):
    folder = tmp_path / "s"
    local = ("hydra/launcher=submitit_local", "hydra.launcher.timeout_min=5", f"hydra.sweep.dir={folder}")
    done = shell("train.py", "-m", *JOB, "heads=h4,h6", *local)
    assert done.returncode == 1
    assert "error: 1 of 2 jobs did not complete\n  01-h6: 6 heads do not divide" in done.stderr
    assert "Traceback" not in done.stderr
    assert "6 heads do not divide" in (folder / "report.md").read_text()
    assert table(folder).keys() == {"00-h4"}
    wall = json.loads((folder / "00-h4" / "summary.json").read_text())["wall_seconds"]
    assert wall < 60, "since the job's own process began"
    before = table(folder)
    done = shell("train.py", f"resume={folder}", "heads=h2,h4")
    assert [line for line in done.stdout.splitlines() if "completed" in line][:2] == [
        line for line in done.stdout.splitlines() if re.match("  [12]/2 0(0-h4|2-h2) completed", line)
    ]
    assert table(folder) | before == table(folder), "completed jobs are not trained again"
    assert table(folder).keys() == {"00-h4", "02-h2"}


BASIC = ("hydra/sweeper=basic", "position=rope,none", "seed=1,2")


@pytest.mark.slow
def test_batches_of_hydras_own_sweeper_in_our_pool(tmp_path):
    done = shell("train.py", "-m", *JOB, *BASIC, "hydra.sweeper.max_batch_size=2", f"hydra.sweep.dir={tmp_path}/s")
    assert done.returncode == 0, done.stderr
    assert {row[:3] for row in table(tmp_path / "s").values()} == {
        ("completed", position, seed) for position in ("rope", "none") for seed in (1, 2)
    }
    assert "4 jobs: 4 completed" in (tmp_path / "s" / "report.md").read_text()
    assert done.stdout.count("report: ") == 1


@pytest.mark.slow
def test_hydras_own_sweeper_and_launcher_end_with_our_report(tmp_path):
    """One process runs all jobs. After a signal during the second job, it starts no other job and writes the report."""
    folder = tmp_path / "s"
    job = ("trainer.max_steps=400", "trainer.val_check_interval=20", "hydra/launcher=basic")
    process = subprocess.Popen(
        [sys.executable, "train.py", "-m", *JOB, *BASIC, *job, f"hydra.sweep.dir={folder}"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    while not (folder / "1" / "checkpoints" / "last.ckpt").exists():
        assert process.poll() is None
        time.sleep(0.1)
    process.terminate()
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 143, output
    assert "stopped by SIGTERM; the checkpoint is saved" in output
    assert [row[0] for row in table(folder).values()] == ["completed", "interrupted"]
    assert "2 jobs: 1 completed, 1 interrupted" in (folder / "report.md").read_text()


@pytest.mark.parametrize("sweeper", [(), ("hydra/sweeper=basic",), ("sweep=search", "~experiment")], ids=str)
def test_a_folder_has_one_owner(tmp_path, sweeper, next_process):
    folder = tmp_path / "s"
    claim_folder(folder)  # this process owns the folder
    command = ("train.py", "-m", *JOB, *sweeper, "seed=1,2", f"hydra.sweep.dir={folder}")
    assert f"{folder} is in use by process" in refused(shell(*command))
    assert [p.name for p in folder.iterdir()] == [".lock"] or sweeper == ("hydra/sweeper=basic",)
    Manifest(("-m", *JOB, *sweeper, "seed=1,2"), (Job("00-s1", (*JOB, "seed=1")),)).write(folder)
    before = (folder / "sweep.json").read_bytes()
    assert f"{folder} is in use by process" in refused(shell("train.py", f"resume={folder}"))
    next_process(folder)
    assert "already contains results; resume them" in refused(shell(*command))
    assert (folder / "sweep.json").read_bytes() == before
    assert not (folder / "report.md").exists()
