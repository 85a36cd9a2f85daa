"""An option can change at a resume, whatever was set before."""

import shutil

import pytest

from headscope.run.folder import RunFolder
from headscope.sweep.resume import replace_overrides
from tests.inside import TINY, train

SUMMARY = "+callbacks.x._target_=lightning.pytorch.callbacks.RichModelSummary"


@pytest.mark.parametrize(
    ("before", "new", "found"),
    [
        (["callbacks=early_stopping", "callbacks.early_stopping.patience=3"], ["callbacks=none"], ["callbacks=none"]),
        (
            ["schedule=wsd", "schedule.decay=0.2", "schedule.final=0.1"],
            ["schedule=linear"],
            ["schedule.final=0.1", "schedule=linear"],
        ),
        (["callbacks=default", "~callbacks.samples"], ["callbacks=none"], ["callbacks=none"]),
        (["trainer.max_steps=300"], ["trainer=cpu"], ["trainer.max_steps=300", "trainer=cpu"]),
        (
            ["logger=csv", "logger.csv.folder=x"],
            ["logger=[tensorboard,csv]"],
            ["logger.csv.folder=x", "logger=[tensorboard,csv]"],
        ),
        (["logger=csv", "logger.csv.folder=x"], ["logger=none"], ["logger=none"]),
        (["callbacks=none", SUMMARY], ["~callbacks.x"], ["callbacks=none"]),
        (
            ["callbacks=none", SUMMARY, "+callbacks.x.max_depth=2"],
            ["~callbacks.x.max_depth"],
            ["callbacks=none", SUMMARY],
        ),
        (["+trainer.max_time=00:01:00:00"], ["~trainer.max_time"], []),
        (
            ["callbacks.heads=null", "+callbacks.film.note=1"],
            ["~callbacks.film"],
            ["callbacks.heads=null", "~callbacks.film"],
        ),
        (
            ["schedule=constant", "+schedule.final=0.1"],
            ["schedule=linear"],
            ["++schedule.final=0.1", "schedule=linear"],
        ),
        (
            ["+callbacks.x={a: 1}", "callbacks.x.a=2"],
            ["callbacks=none"],
            ["+callbacks.x={a: 1}", "callbacks.x.a=2", "callbacks=none"],
        ),
        (["-m", "position=rope,t5", "position.base=10"], ["position=none,alibi"], ["-m", "position=none,alibi"]),
        (["~callbacks.samples"], ["~callbacks.samples"], ["~callbacks.samples"]),
        (["position=rope"], ["position=ropee"], ["position=ropee"]),
    ],
)
def test_earlier_overrides_of_keys_that_are_gone_are_left_out(before, new, found):
    assert replace_overrides(before, new) == found


def test_a_new_part_may_have_keys_that_cannot_change(tmp_path):
    folder = tmp_path / "run"
    for words in ([*TINY, f"hydra.run.dir={folder}"], [f"resume={folder}", "trainer.max_steps=2"]):
        code, printed = train(*words, *["callbacks=early_stopping"] * (words[0].startswith("resume=")))
        assert code == 0, printed
    assert RunFolder(folder).config()["callbacks.early_stopping.patience"] == "5"
    code, printed = train(f"resume={folder}", "trainer.max_steps=3", "callbacks.early_stopping.patience=9")
    assert (code, "patience cannot change from 5 to 9" in printed) == (2, True)


@pytest.mark.parametrize("mistake", ["positon=rope", "position=ropee", "~trainer.foo", "trainer.maxsteps=3"])
def test_a_mistake_beside_a_completed_run_is_reported_first(mistake, tmp_path):
    folder = tmp_path / "run"
    assert train(*TINY, f"hydra.run.dir={folder}")[0] == 0
    code, printed = train(f"resume={folder}", mistake)
    assert code == 2
    assert mistake.partition("=")[0].lstrip("~") in printed
    assert "has completed" not in printed


@pytest.mark.filterwarnings("ignore:Precision bf16-mixed is not supported by the model summary:UserWarning")
@pytest.mark.parametrize(
    ("before", "new", "gone"),
    [
        (
            ["callbacks=early_stopping", "callbacks.early_stopping.patience=3"],
            "callbacks=none",
            "callbacks.early_stopping.patience",
        ),
        (["schedule=wsd", "schedule.decay=0.2"], "schedule=constant", "schedule.decay"),
        ([SUMMARY], "~callbacks.x", "callbacks.x._target_"),
    ],
)
def test_an_option_changes_at_a_resume_and_the_change_is_recorded(before, new, gone, tmp_path):
    folder = tmp_path / "run"
    code, printed = train(*TINY, *before, f"hydra.run.dir={folder}")
    assert code == 0, printed
    assert gone in RunFolder(folder).config()
    shutil.copytree(folder, tmp_path / "copy")
    for steps in (2, 3):  # the second resume has nothing more to change
        code, printed = train(f"resume={folder}", f"trainer.max_steps={steps}", *[new] * (steps == 2))
        assert code == 0, printed
    assert gone not in RunFolder(folder).config()
    assert [c["after"] for c in RunFolder(folder).changes() if c["key"] == gone] == ["absent"]
