"""Each `show=NAME` runs its file, with the checkpoint of a run."""

import json
from typing import get_args, get_type_hints

import headscope
from headscope.cli.generate import write
from headscope.config.generate_keys import GenerateConfig
from headscope.config.overrides import as_text
from headscope.show.request import ShowRequest
from tests.conftest import ROOT


def test_every_show_is_a_file_and_every_file_a_show():
    choices, _ = get_args(get_type_hints(GenerateConfig)["show"])
    files = {path.stem for path in (ROOT / "src/headscope/show").glob("*.py")} - {"__init__", "request"}
    assert set(get_args(choices)) == files


def test_a_run_is_shown(toy_run, tmp_path, capsys):
    checkpoint = str(toy_run[0] / "checkpoints" / "best.ckpt")
    write(GenerateConfig(checkpoint=checkpoint, show="attribution"), "I love")
    assert "most likely next: cats, probability 0.99" in capsys.readouterr().out
    write(GenerateConfig(checkpoint=checkpoint, show="attention", out=str(tmp_path)), "I love")
    assert (tmp_path / "L0H0.png").is_file()


def test_pictures_lie_beside_the_checkpoint_under_its_step(toy_run):
    path = toy_run[0] / "checkpoints" / "last.ckpt"
    model, tokenizer, about = headscope.load(path)
    step = about["step"]
    assert step == json.loads((toy_run[0] / "summary.json").read_text())["steps"]
    folder = ShowRequest(model, tokenizer, "", path, about).folder("attention")
    assert folder == path.parent / f"last-step{step}-attention"
    assert ShowRequest(model, tokenizer, "", path).folder("attention") == path.parent / "last-attention"


def test_a_folder_is_taken_as_typed():
    assert as_text(["out=pictures, v2=final"]) == ["out='pictures, v2=final'"]
