"""Searches, including searches that were killed and resumed."""

import itertools
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import optuna
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from headscope.errors import UserError
from headscope.files import write_json
from headscope.run.folder import RunFolder, Status
from headscope.sweep import grid_check
from headscope.sweep import search as search_module
from headscope.sweep.jobs import Manifest
from headscope.sweep.launcher import combinations
from headscope.sweep.search import SearchPlan, search
from headscope.sweep.space import corners, distribution, size
from tests.cli.test_commands import refused
from tests.conftest import ROOT, shell
from tests.inside import train
from tests.sweep.conftest import JOB, Pretend
from tests.sweep.test_grid_check import TINY, Here


def parsed(text):
    return distribution(OverridesParser.create().parse_override(text))


def test_what_can_be_chosen():
    lr = parsed("optimizer.lr=tag(log, interval(1e-4, 1e-2))")
    assert (lr.low, lr.high, lr.log) == (1e-4, 1e-2, True)
    layers = parsed("model.n_layers=range(2, 7, 2)")
    assert (layers.low, layers.high, layers.step) == (2, 6, 2)
    assert parsed("position=rope,alibi").choices == ("rope", "alibi")
    for text in ("x=glob(*)", "x=tag(log, interval(0, 1))", "x=interval(1, 0.5)", "x=range(5, 1)"):
        with pytest.raises(UserError, match="cannot be searched"):
            parsed(text)


def test_a_tag_a_cast_and_a_falling_range_are_searched_as_they_were_typed():
    for text, low, high, step, log in (
        ("x=tag(log, range(1, 1025))", 1, 1024, 1, True),
        ("x=int(interval(1, 10))", 1, 10, 1, False),
        ("x=tag(log, int(interval(1, 10)))", 1, 10, 1, True),
        ("x=range(10, 1, -3)", 4, 10, 3, False),
        ("x=sort(range(0, 8, 4), reverse=true)", 0, 4, 4, False),
    ):
        assert parsed(text) == IntDistribution(low, high, log=log, step=step), text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x=tag(log, choice(1, 2))", "a tag has an effect only on an interval or a range of sweep=search"),
        ("x=tag(log, range(1, 9, 2))", "cannot be searched: Samplers .* only accept step is 1"),
        ("x=tag(log, range(0, 9))", "cannot be searched"),
        ("x=tag(logarithmic, interval(1, 9))", "the only tag is log"),
        ("x=tag(fast, choice(1, 2))", "the only tag is log"),
        ("x=range(1, 10, 1.5)", "use a,b or range.* of integers"),
        ("x=float(range(1, 5))", "use a,b or range.* of integers"),
        ("x=range(1, 5, 0)", "cannot be searched: range.. arg 3 must not be zero"),
        ("x=interval(nan, 1)", "cannot be searched"),
        ("x=interval(-inf, inf)", "cannot be searched"),
        ("x=int(interval(1e-1, 0.9))", "needs integers as limits"),
        ("x=int(interval(1.5, 8.2))", "needs integers as limits"),
        ("x=range(1, 4, 1),7", "cannot be swept over"),
    ],
)
def test_what_would_be_searched_otherwise_is_refused(text, reason):
    with pytest.raises(UserError, match=reason):
        parsed(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x=tag(log, range(1, 9))", "a tag has an effect only on an interval or a range of sweep=search"),
        ("x=tag(fast, choice(1, 2))", "a tag has an effect only"),
        ("x=range(1, 5, 0)", "cannot be swept over"),
        ("x=sort(range(0, 9, 4), reverse=true)", "Hydra sorts ranges wrongly; write the values in order"),
        ("x=sort(range(10, 0, -3))", "Hydra sorts ranges wrongly"),
        ("x=range(0, 1000000000)", "has more than 100,000 values"),
    ],
)
def test_a_grid_refuses_them_too(text, reason):
    with pytest.raises(UserError, match=reason):
        combinations({}, [text], None)
    with pytest.raises(UserError, match="this sweep has 100,000,000 jobs"):
        combinations({}, ["x=range(0, 10000)", "y=range(0, 10000)"], None)
    assert combinations({}, ["x=range(10, 1, -3)"], None) == [["x=10"], ["x=7"], ["x=4"]]
    assert combinations({}, ["x=1e-3,0.001"], None) == [["x=0.001"]]


def test_a_search_needs_something_to_choose(tmp_path):
    fixed = ("optimizer.lr=1e-3", "heads=h2", "schedule.warmup_steps=5", f"hydra.sweep.dir={tmp_path}/s")
    assert "a search needs at least one key with several values" in refused(
        shell("train.py", "sweep=search", *JOB, *fixed, "position=rope")
    )
    assert "there is no position=ropee" in refused(
        shell("train.py", "sweep=search", *JOB, *fixed, "position=rope,ropee")
    )
    assert not (tmp_path / "s").exists()


def sought(folder, *typed, runner=None, n_trials=7, batch=3):
    """Runs a search without training; returns the launcher and Optuna's trials."""
    sweeper = SimpleNamespace(
        folder=folder,
        params={},
        n_trials=n_trials,
        seed=1,
        warmup_steps=0,
        batch_size=batch,
        loader=None,
        check=lambda jobs: None,
    )
    runner = runner or Pretend(folder, lambda values: float(values.get("x", 0)))
    return runner, search(sweeper, list(typed), runner).get_trials()


def test_a_small_space_is_tried_once_and_then_exhausted(tmp_path, capsys):
    runner, trials = sought(tmp_path, "x=2,1", "y=5", "z=range(3, 4)")
    assert sorted(name for _, name in runner.launched) in (["00-x1-z3", "01-x2-z3"], ["00-x2-z3", "01-x1-z3"])
    assert "all 2 combinations have been tried" in capsys.readouterr().out
    assert {t.params["x"]: t.value for t in trials if t.state == TrialState.COMPLETE} == {"1": 1.0, "2": 2.0}
    assert not [t for t in trials if t.state == TrialState.RUNNING]


def test_every_combination_of_a_finite_space_is_trained_once(tmp_path):
    runner, _ = sought(tmp_path, "x=range(0, 6, 2)", "y=a,b,c,d", n_trials=100)
    jobs = Manifest.read(tmp_path).jobs
    assert len({job.overrides for job in jobs}) == len(jobs) == len(runner.launched) == 12
    assert {index for index, _ in runner.launched} == {0, 3, 6, 9}, "in batches of three"


@pytest.fixture
def counted(monkeypatch):
    """Makes a search that never ends raise an error instead."""
    ask, calls = optuna.Study.ask, []

    def counted_ask(study, *args, **kwargs):
        calls.append(study)
        assert len(calls) < 2000, "the search does not end"
        return ask(study, *args, **kwargs)

    monkeypatch.setattr(optuna.Study, "ask", counted_ask)


@pytest.mark.parametrize(
    ("space", "jobs"),
    [
        (["x=1e-3,0.001"], 1),
        (["x=1,1.0,1_0,10"], 2),
        (["x=rope,'rope'", "y=true,True"], 1),
        (["x=1,'1'"], 2),
        (["x=interval(2, 2)"], 1),
        (["x=int(interval(3, 3))", "y=range(4, 6, 9)"], 1),
    ],
)
def test_values_that_are_equal_are_one_job_and_the_search_ends(space, jobs, tmp_path, counted, capsys):
    runner, _ = sought(tmp_path, *space, runner=Pretend(tmp_path))
    assert len(runner.launched) == jobs
    assert f"all {jobs} combinations have been tried" in capsys.readouterr().out


def test_a_search_ends_where_a_continuous_key_has_few_values(tmp_path, counted, capsys):
    """Between these limits there are two numbers."""
    runner, _ = sought(tmp_path, "x=interval(1, 1.0000000000000002)", runner=Pretend(tmp_path))
    assert 1 <= len(runner.launched) <= 2
    assert "the search is over: Optuna chose no new combination 100 times after" in capsys.readouterr().out


NUMBERS = ["1", "1.0", "1e0", "2", "0.5", "5e-1", "true", "True", "a", "'a'", "null"]
KEYS = st.one_of(
    st.lists(st.sampled_from(NUMBERS), min_size=2, max_size=5).map(",".join),
    st.tuples(st.integers(-3, 3), st.integers(1, 6), st.integers(1, 3)).map(
        lambda r: f"range({r[0]}, {r[0] + r[1]}, {r[2]})"
    ),
    st.tuples(st.integers(-3, 3), st.integers(1, 6), st.integers(1, 3)).map(
        lambda r: f"range({r[0] + r[1]}, {r[0]}, -{r[2]})"
    ),
    st.tuples(st.integers(1, 5), st.integers(0, 3)).map(lambda r: f"tag(log, int(interval({r[0]}, {r[0] + r[1]})))"),
    st.integers(1, 3).map(lambda x: f"interval({x}, {x})"),
    st.just("interval(0, 1)"),
)


@settings(max_examples=15, deadline=None)
@given(st.lists(KEYS, min_size=1, max_size=3), st.integers(1, 7), st.integers(1, 3), st.booleans())
def test_a_search_over_any_small_space_ends_and_trains_nothing_twice(values, n_trials, batch, fails):
    """It trains every combination if there are fewer than `n_trials`."""
    ask, calls = optuna.Study.ask, itertools.count()

    def counted_ask(study, *args, **kwargs):
        assert next(calls) < 2000, "the search does not end"
        return ask(study, *args, **kwargs)

    def loss(values):
        if fails and isinstance(values["k0"], int):
            raise ValueError("the loss is not finite")
        return 1.0

    typed = [f"k{i}={value}" for i, value in enumerate(values)]
    overrides = [OverridesParser.create().parse_override(o) for o in typed]
    expected = min(n_trials, size({o.key_or_group: distribution(o) for o in overrides}))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with patch.object(optuna.Study, "ask", counted_ask):
            runner, _ = sought(folder, *typed, runner=Pretend(folder, loss), n_trials=n_trials, batch=batch)
        assert len({job.overrides for job in Manifest.read(folder).jobs}) == len(runner.launched) == expected


def test_a_search_learns_from_each_batch(tmp_path):
    """The search minimises (x - 0.7)². Half of its later trials are close to 0.7, but only a third of random trials."""
    runner = Pretend(tmp_path, lambda values: (values["x"] - 0.7) ** 2)
    _, trials = sought(tmp_path, "x=interval(0, 1)", runner=runner, n_trials=24, batch=2)
    assert len(trials) == 24
    assert sum(abs(t.params["x"] - 0.7) < 0.17 for t in trials[4:]) >= 10


def test_optuna_learns_nothing_from_an_implausible_loss(tmp_path):
    runner = Pretend(tmp_path, lambda values: 0.0 if values["x"] == 2 else 1.0)
    _, trials = sought(tmp_path, "x=1,2,3", runner=runner)
    states = {t.params["x"]: t.state for t in trials if t.state != TrialState.WAITING}
    assert states == {"1": TrialState.COMPLETE, "2": TrialState.FAIL, "3": TrialState.COMPLETE}


def test_a_search_continues_where_it_was_stopped(tmp_path, next_process):
    """A job that had not ended continues in its folder; Optuna gets the result of a job that ended unnoticed."""

    class Killed(Pretend):
        def launch(self, job_overrides, initial_job_idx):
            super().launch(job_overrides[:1], initial_job_idx)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sought(tmp_path, "x=interval(0, 1)", "y=a,b", runner=Killed(tmp_path, lambda values: values["x"]))
    names = [job.name for job in Manifest.read(tmp_path).jobs]
    assert len(names) == 3
    next_process(tmp_path)
    runner, trials = sought(tmp_path, "x=interval(0, 1)", "y=a,b")
    assert [name for _, name in runner.launched][:2] == names[1:]
    assert [job.name for job in Manifest.read(tmp_path).jobs][:3] == names
    assert len(runner.launched) == 6
    assert sorted(t.value for t in trials if t.state == TrialState.COMPLETE) == sorted(
        RunFolder(tmp_path / job.name).status().val_loss for job in Manifest.read(tmp_path).jobs
    )
    next_process(tmp_path)
    assert not sought(tmp_path, "x=interval(0, 1)", "y=a,b")[0].launched
    next_process(tmp_path)
    with pytest.raises(UserError, match="have ended without z=1"):
        sought(tmp_path, "x=interval(0, 1)", "y=a,b", "z=1")
    with pytest.raises(UserError, match="has a different set of values"):
        sought(tmp_path, "x=interval(0, 1)", "y=b,c")
    assert len(sought(tmp_path, "x=interval(0, 2)", "y=a,b", n_trials=9)[0].launched) == 2, (
        "a wider space continues the search"
    )


SPACE = ("x=1,2,3", "+y=a,b")


def launched(folder, next_process, *typed, runner=None, n_trials=4):
    """The jobs that a search launches, in their order, in a process of its own."""
    next_process(folder)
    return [name for _, name in sought(folder, *SPACE, *typed, runner=runner, n_trials=n_trials)[0].launched]


def test_a_trial_that_failed_or_was_killed_runs_again_at_a_resume(tmp_path, next_process):
    def killed(values):
        if values["x"] == 2:
            raise ValueError("the process was killed by SIGKILL")
        return 1.0

    first = launched(tmp_path, next_process, runner=Pretend(tmp_path, killed))
    failed = [name for name in first if RunFolder(tmp_path / name).status().state == "failed"]
    assert len(first) == 4
    assert failed
    assert launched(tmp_path, next_process, runner=Pretend(tmp_path, killed)) == failed, "and nothing else"
    for name in failed:
        (tmp_path / name / "job.log").unlink()  # as at the start of a new process
    assert launched(tmp_path, next_process) == failed
    assert launched(tmp_path, next_process) == []
    assert [job.name for job in Manifest.read(tmp_path).jobs] == first, "in their first order"


@pytest.mark.parametrize("steps", ["40", "1_000"])
def test_a_search_can_be_extended_by_steps_and_by_trials(steps, tmp_path, next_process):
    first = launched(tmp_path, next_process)
    longer = f"trainer.max_steps={steps}"
    assert launched(tmp_path, next_process, longer) == first
    assert {RunFolder(tmp_path / name).summary()["steps"] for name in first} == {int(steps)}
    assert all(longer in job.overrides for job in Manifest.read(tmp_path).jobs)
    assert launched(tmp_path, next_process, longer) == []
    added = launched(tmp_path, next_process, longer, n_trials=6)
    assert len(added) == 2
    assert not {*added} & {*first}
    assert launched(tmp_path, next_process, "trainer.max_steps=2000", n_trials=6) == [*first, *added]


def test_a_search_is_not_extended_by_fewer_steps_and_a_pruned_trial_stays_pruned(tmp_path, next_process):
    first = launched(tmp_path, next_process, "trainer.max_steps=40")
    assert launched(tmp_path, next_process, "trainer.max_steps=40") == []
    with pytest.raises(UserError, match=r"without trainer\.max_steps=30; .* use a larger trainer\.max_steps"):
        launched(tmp_path, next_process, "trainer.max_steps=30")
    write_json(RunFolder(tmp_path / first[0]).pruned_file, {})
    assert launched(tmp_path, next_process, "trainer.max_steps=60") == first[1:]


def test_an_unpromising_trial_is_pruned(tmp_path):
    study = optuna.create_study(pruner=optuna.pruners.MedianPruner(n_startup_trials=1, n_warmup_steps=6))
    plan = SearchPlan(tmp_path, study, {"x": optuna.distributions.FloatDistribution(0, 1)}, [], 3)

    def status(*losses):
        history = [{"step": 5 * (i + 1), "val_loss": loss} for i, loss in enumerate(losses)]
        return Status("running", "", (5 * len(losses), 20), history, {})

    good = plan.next()
    assert not plan.should_prune(good, status(1.0, 0.5, 0.4))
    plan.record_end(good, Status("completed", "", (20, 20), status(1.0, 0.5, 0.4, 0.3).history, {}))
    bad = plan.next()
    assert not plan.should_prune(bad, status(2.0)), "a trial must not be pruned during the warmup"
    assert plan.should_prune(bad, status(2.0, 1.9))
    assert not plan.should_prune(bad, status(2.0, 1.9)), "a trial must be judged again only after a new validation"
    assert RunFolder(tmp_path / bad.name).status().state == "pruned"
    plan.record_end(bad, RunFolder(tmp_path / bad.name).status())
    assert [t.state for t in study.trials] == [TrialState.COMPLETE, TrialState.PRUNED]


def test_a_completed_trial_that_is_trained_further_is_not_pruned(tmp_path, next_process):
    """Otherwise it would lose the result that it had."""
    first = launched(tmp_path, next_process)
    study = optuna.create_study(pruner=optuna.pruners.MedianPruner(n_startup_trials=0, n_warmup_steps=0))
    study.add_trial(create_trial(value=0.1, intermediate_values={20: 0.1, 30: 0.1}))
    space = {"x": CategoricalDistribution(["1", "2", "3"]), "+y": CategoricalDistribution(["a", "b"])}
    plan = SearchPlan(tmp_path, study, space, ["trainer.max_steps=40"], 4)
    job = plan.next()
    assert job.name == first[0]
    status = Status("running", "", (30, 40), [{"step": 20, "val_loss": 1.0}, {"step": 30, "val_loss": 9.0}], {})
    assert not plan.should_prune(job, status)
    plan.extended.clear()
    worse = Status("running", "", (35, 40), [*status.history, {"step": 35, "val_loss": 9.5}], {})
    study.add_trial(create_trial(value=0.1, intermediate_values={35: 0.1}))
    assert plan.should_prune(job, worse), "as a new trial with these losses would be"


@pytest.mark.slow
def test_a_search_of_twelve_trials_is_killed_goes_on_and_prunes(tmp_path):
    folder = tmp_path / "s"
    command = (
        *("train.py", "sweep=search", *JOB, "~experiment", "trainer.max_steps=100", "heads=h2,h4", "position=rope"),
        *("trainer.val_check_interval=10", "optimizer.lr=tag(log, interval(1e-6, 1e-1))", "schedule.warmup_steps=0"),
        *("hydra.sweeper.n_trials=12", "hydra.sweeper.warmup_steps=20", "hydra.launcher.n_jobs=2"),
    )
    process = subprocess.Popen(
        [sys.executable, *command, f"hydra.sweep.dir={folder}"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while len(list(folder.glob("*/summary.json"))) < 5:
        assert process.poll() is None
        time.sleep(0.1)
    process.kill()
    process.wait()
    done = shell("train.py", f"resume={folder}", timeout=600)
    assert done.returncode == 0, done.stderr
    jobs = json.loads((folder / "sweep.json").read_text())["jobs"]
    assert [job["name"][:2] for job in jobs] == [f"{i:02}" for i in range(12)]
    assert len({tuple(job["overrides"]) for job in jobs}) == 12, "no combination may be tried twice"
    states = [RunFolder(folder / job["name"]).status().state for job in jobs]
    assert set(states) == {"completed", "pruned"}
    best = min(
        RunFolder(folder / j["name"]).status().val_loss for j, s in zip(jobs, states, strict=True) if s == "completed"
    )
    assert f"{best:.4f}" in (folder / "report.md").read_text().partition("| 1 |")[2].splitlines()[0]
    assert "has a different set of values" in refused(shell("train.py", f"resume={folder}", "heads=h1,h2"))
    again = shell("train.py", f"resume={folder}")
    assert again.returncode == 0, again.stderr
    assert "started" not in again.stdout


def test_the_corners_of_a_space_are_its_choices_and_the_ends_of_its_ranges():
    pair, width = CategoricalDistribution(["a", "b"]), FloatDistribution(0.0, 1.0)
    assert corners({"x": pair, "y": width}) == [("a", 0.0), ("a", 1.0), ("b", 0.0), ("b", 1.0)]
    many = {f"k{i}": CategoricalDistribution(list(range(i + 2))) for i in range(9)}
    found = corners(many)
    assert len(found) == 10
    assert all({c[i] for c in found} == set(range(i + 2)) for i in range(9)), "every choice must be in a corner"


#: A base config without the search space of conf/sweep/search.yaml.
ALONE = (*TINY, "experiment=quickstart", "position=rope", "heads=h2", "optimizer.lr=1e-3", "schedule.warmup_steps=1")


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (["model.n_heads=3,5"], "3 heads do not divide the width d_model=32"),
        (["schedule.warmup_steps=range(-5, 0)"], "schedule.warmup_steps=-5 must be at least 0"),
        (["optimizer.lr=interval(-2, -1)", "seed=1,2"], "optimizer.lr=-2.0 must be"),
    ],
)
def test_a_search_that_cannot_build_anything_starts_nothing(space, message, tmp_path):
    with patch.object(grid_check, "ProcessPoolExecutor", Here):
        code, output = train("-m", "sweep=search", *ALONE, *space, f"hydra.sweep.dir={tmp_path}/s")
    assert code == 2, output
    assert message in output.splitlines()[-1]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("optuna.distributions", "FloatDistribution"),  # 2.10
        ("optuna.trial", "create_trial"),
        ("optuna.trial", None),
        ("optuna", None),
    ],
)
def test_a_missing_or_old_optuna_is_one_line(module, name, tmp_path, monkeypatch):
    for ours in ("search", "space"):
        monkeypatch.delitem(sys.modules, f"headscope.sweep.{ours}", raising=False)
    if name:
        monkeypatch.delattr(sys.modules[module], name)
    else:
        monkeypatch.setitem(sys.modules, module, None)
    code, output = train("sweep=search", *ALONE, "seed=1,2", f"hydra.sweep.dir={tmp_path}/s")
    assert code == 2, output
    assert "error: a search needs optuna, in the version that this installs: pip install" in output.splitlines()[-1]


def test_a_search_names_what_will_fail_before_its_first_trial(tmp_path):
    with patch.object(grid_check, "ProcessPoolExecutor", Here), patch.object(search_module, "run_plan"):
        code, output = train("-m", "sweep=search", *ALONE, "model.n_heads=2,3", f"hydra.sweep.dir={tmp_path}/s")
    assert code == 0, output
    assert "model.n_heads=3 cannot be built and will fail: 3 heads do not divide" in output
