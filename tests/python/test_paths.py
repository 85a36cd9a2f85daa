"""A path keeps its meaning after the program changes its current folder, and `~` is the home folder."""

import shutil
from contextlib import chdir
from pathlib import Path

import pytest
from omegaconf import OmegaConf

import headscope
from headscope.errors import UserError
from headscope.python import training
from headscope.python.trained import Page
from tests.python.test_training import TINY


@pytest.fixture
def folders(tmp_path, monkeypatch, toy_run):
    """The current folder, with a copy of a run in `r`, and another folder; the current one is the home folder too."""
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copytree(toy_run[0], here / "r")
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(here))
    return here, elsewhere


@pytest.mark.parametrize("typed", ["r", "./r", "~/r", Path("r"), Path("~/r"), "../here/r"])
def test_a_run_is_read_after_the_folder_changes(typed, folders):
    _, elsewhere = folders
    run = headscope.Run(typed)
    with chdir(elsewhere):
        assert run.summary["status"] == "completed"
        assert len(run.losses) == len(run.history) == 4
        assert run.about["name"] == "toy"
        assert run.folder.is_absolute()


@pytest.mark.parametrize("typed", ["r", "~/r", "~/r/checkpoints/best.ckpt", "r/checkpoints/last.ckpt"])
def test_a_page_keeps_its_film_after_the_folder_changes(typed, folders):
    _, elsewhere = folders
    trained = headscope.load(typed)
    before = trained.page("I love").html
    with chdir(elsewhere):
        assert trained._request("I love", "page").film.is_file()
        assert trained.page("I love").html == before


@pytest.mark.parametrize("typed", ["page.html", "~/page.html", "new/../page.html"])
def test_a_saved_page_is_found_after_the_folder_changes(typed, folders):
    here, elsewhere = folders
    path = Page("<!doctype html>").save(typed)
    with chdir(elsewhere):
        assert path.read_text() == "<!doctype html>"
    assert (here / "page.html").exists()


@pytest.mark.parametrize("typed", [[], ["hydra.run.dir=new"], ["hydra.run.dir=~/new"]])
def test_a_trained_run_is_read_after_the_folder_changes(typed, folders):
    here, elsewhere = folders
    run = headscope.train(*TINY, *typed)
    with chdir(elsewhere):
        assert run.summary["steps"] == 4
        assert run.generate("the", max_new_tokens=3)
        resumed = headscope.train(f"resume={run.folder}")
        assert resumed.folder == run.folder
    if typed:
        assert run.folder == here / "new"
        relative = headscope.train("resume=new")
        with chdir(elsewhere):
            assert relative.losses == run.losses


@pytest.mark.parametrize("key", ["paths.data_dir", "hydra.run.dir", "data.path"])
def test_a_path_in_an_override_is_recorded_for_every_folder(key, folders):
    here, _ = folders
    data = ["data=text"] if key == "data.path" else []
    cfg = training._compose([*data, f"{key}=some/place"])
    assert OmegaConf.select(cfg, key) == str(here / "some" / "place")


def test_a_moved_run_is_not_an_empty_one(folders):
    here, _ = folders
    run = headscope.Run("r")
    (here / "r").rename(here / "moved")
    with pytest.raises(headscope.UserError, match=f"no run was started in {here}/r"):
        run.summary  # noqa: B018
    with pytest.raises(headscope.UserError, match="no run was started in"):
        run.losses  # noqa: B018


@pytest.mark.parametrize("given", [None, 5, b"r", ["r"], "a\0b"])
def test_what_is_not_a_path_is_one_line(given, folders):
    for use in (headscope.load, headscope.Run, Page("").save):
        with pytest.raises(headscope.UserError, match=r"^path=.* must be a path, as in load") as error:
            use(given)
        assert "\n" not in str(error.value)


def test_a_deleted_current_folder_is_named(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(UserError, match="the current folder no longer exists"):
        headscope.load("run")
    with pytest.raises(UserError, match="the current folder no longer exists"):
        headscope.train("trainer.max_steps=1")
