"""A comparison in which trials choose a value for each combination, which then trains with seeds of its own."""

from types import SimpleNamespace

import pytest

from headscope.errors import RunFailed, UserError
from headscope.report.results import Sweep
from headscope.report.tables import means_by_value, trials
from headscope.report.writing import findings, write_report
from headscope.sweep.jobs import Manifest
from headscope.sweep.launcher import tune_and_compare
from tests.sweep.conftest import Pretend

TYPED = ("position=rope,none", "optimizer.lr=0.1,0.2,0.4", "seed=1,2,3")


def loss(values):
    """Each scheme has its own best learning rate."""
    best = {"rope": 0.2, "none": 0.4}[values["position"]]
    return 1.0 + (values["position"] == "none") + abs(values["optimizer.lr"] - best) + values["seed"] / 1000


def compared(folder, *typed, runner=None):
    sweeper = SimpleNamespace(
        folder=folder, params={}, tune="optimizer.lr", tuning_seed=0, check=lambda jobs: None,
        loader=None,
    )  # fmt: skip
    runner = runner or Pretend(folder, loss)
    tune_and_compare(sweeper, list(typed), runner)
    return runner


class Stopped(Pretend):
    """A launcher that is interrupted after the trials."""

    def launch(self, job_overrides, initial_job_idx):
        if any("seed=1" in o for o in job_overrides[0]):
            raise KeyboardInterrupt
        super().launch(job_overrides, initial_job_idx)


def test_each_combination_gets_its_own_value_and_new_seeds(tmp_path):
    compared(tmp_path, *TYPED)
    jobs = Manifest.read(tmp_path).jobs
    assert len(jobs) == 6 + 6
    assert {job.values["seed"] for job in jobs if job.trial} == {"0"}
    final = {(j.values["position"], j.values["optimizer.lr"], j.values["seed"]) for j in jobs if not j.trial}
    assert final == {(p, lr, s) for p, lr in (("rope", "0.2"), ("none", "0.4")) for s in "123"}
    sweep = Sweep(tmp_path)
    assert [c.values for c in sweep.ranked] == [("rope", "0.2"), ("none", "0.4")]
    assert [c.seeds for c in sweep.ranked] == [3, 3], "trials do not count as samples"
    assert "3 seeds each" in " ".join(findings(sweep))
    assert len(means_by_value(sweep)) == 1, "values chosen for one scheme cannot be compared across schemes"
    shown = {(row[0], row[1]): row[2:] for row in trials(sweep)[1:]}
    assert shown["rope", "0.2"] == ("1.0000", "chosen")
    assert shown["none", "0.2"] == ("2.2000", "")
    write_report(tmp_path)
    assert "Each trial is one run" in (tmp_path / "report.html").read_text()


def test_stopped_between_the_phases_it_goes_on_and_trains_nothing_twice(tmp_path, next_process):
    with pytest.raises(KeyboardInterrupt):
        compared(tmp_path, *TYPED, runner=Stopped(tmp_path, loss))
    next_process(tmp_path)
    runner = compared(tmp_path, *TYPED)
    assert len(runner.launched) == 6, "only the new seeds"
    names = [job.name for job in Manifest.read(tmp_path).jobs]
    next_process(tmp_path)
    assert not compared(tmp_path, *TYPED).launched
    assert [job.name for job in Manifest.read(tmp_path).jobs] == names
    assert sum(job.trial for job in Manifest.read(tmp_path).jobs) == 6
    next_process(tmp_path)
    assert len(compared(tmp_path, *TYPED[:2], "seed=1,2,3,4").launched) == 2, "another seed of each"


def test_further_values_to_choose_from_replace_what_never_started(tmp_path, next_process):
    with pytest.raises(KeyboardInterrupt):
        compared(tmp_path, TYPED[0], "optimizer.lr=0.1,0.2", TYPED[2], runner=Stopped(tmp_path, loss))
    next_process(tmp_path)
    compared(tmp_path, *TYPED)
    assert {j.values["optimizer.lr"] for j in Manifest.read(tmp_path).jobs if j.values["position"] == "none"} == {
        *("0.1", "0.2", "0.4")
    }
    sweep = Sweep(tmp_path)
    assert {r.status.state for r in sweep.results} == {"completed"}
    assert [c.values for c in sweep.ranked] == [("rope", "0.2"), ("none", "0.4")]
    assert len({job.name for job in Manifest.read(tmp_path).jobs}) == len(sweep.results) == 12


def test_a_combination_whose_trials_all_fail_is_left_out(tmp_path):
    def failing(values):
        if values["position"] == "none" or values["optimizer.lr"] == 0.2:
            raise ValueError("the loss is not finite")
        return loss(values)

    compared(tmp_path, *TYPED, runner=Pretend(tmp_path, failing))
    assert [c.values for c in Sweep(tmp_path).ranked] == [("rope", "0.1")]


def test_a_trial_with_an_implausible_loss_is_not_chosen(tmp_path):
    """A learning rate of 0.4 saturates every prediction, so that the loss is 0."""
    runner = Pretend(tmp_path, lambda values: 0.0 if values["optimizer.lr"] == 0.4 else loss(values))
    compared(tmp_path, *TYPED, runner=runner)
    assert {c.values for c in Sweep(tmp_path).ranked} == {("rope", "0.2"), ("none", "0.2")}
    shown = {row[:2]: row[2:] for row in trials(Sweep(tmp_path))[1:]}
    assert shown["none", "0.4"] == ("0.0000, implausible", "")


@pytest.mark.parametrize(
    ("typed", "error", "message"),
    [
        (("position=rope,none", "seed=1,2"), UserError, "tune=optimizer.lr has no values to choose from"),
        (("optimizer.lr=0.1,0.2", "seed=0,1"), UserError, "seed=0 is the seed of the trials"),
    ],
)
def test_what_cannot_be_tuned_is_one_line(typed, error, message, tmp_path):
    with pytest.raises(error, match=message):
        compared(tmp_path, *typed)
    assert not Manifest.read(tmp_path).jobs if (tmp_path / "sweep.json").exists() else True


def test_without_a_trial_that_completed_there_is_nothing_to_compare(tmp_path):
    def failing(values):
        raise ValueError("no")

    with pytest.raises(RunFailed, match="no trial completed"):
        compared(tmp_path, *TYPED, runner=Pretend(tmp_path, failing))
