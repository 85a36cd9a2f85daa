"""`task=validate` measures the checkpoint's own data, or other data that it names."""

import json
import shutil

import pytest
import torch

from tests.conftest import shell
from tests.inside import train

OFF = ("logger=none", "callbacks=none")
TINY = ("model.n_layers=1", "model.d_model=32", "heads=h2", "model.block_size=16", "trainer.max_steps=4", *OFF)
TINY = (*TINY, "trainer.val_check_interval=4", "trainer.threads=1")
TEXT = "The operator is not a name.\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with runs on several kinds of data; each is trained when it is first needed."""
    place = tmp_path_factory.mktemp("measured")
    (place / "text.txt").write_text(TEXT * 50)
    (place / "more.txt").write_text(TEXT[::-1] * 50)
    (place / "lines.txt").write_text("emma\nolivia\nava\nmia\nsophia\n" * 4)
    return place


DATA = {
    "pydoc": ("data=pydoc",),
    "words": ("data=pydoc", "data.tokenizer=word"),
    "text": ("data=text", "data.path=text.txt"),
    "lines": ("data=lines", "data.path=lines.txt"),
    "toy": ("data=toy", "data.sentences=[you love dogs]"),
    "repeated": ("data=repeated", "data.longest=8", "data.vocab_size=10"),
}


@pytest.fixture
def run(place):
    def trained(name):
        if not (place / name).exists():
            code, printed = train(*TINY, *DATA[name], f"hydra.run.dir={name}", cwd=place)
            assert code == 0, printed
        return place / name

    return trained


def validate(place, checkpoint, *typed):
    return train("task=validate", f"checkpoint={checkpoint}", *OFF, *typed, f"hydra.run.dir={place}/v", cwd=place)


@pytest.mark.parametrize("name", DATA)
def test_a_checkpoint_is_measured_on_its_own_data(name, run, place):
    folder = run(name)
    summary = json.loads((folder / "summary.json").read_text())
    code, printed = validate(place, folder / "checkpoints" / "last.ckpt")
    unit, measured = summary["data"]["tokenizer"], summary["data"]["name"]
    assert code == 0, printed
    assert printed.splitlines()[-1] == f"val/loss {summary['val_loss']:.4f} nats per {unit} on {measured}"


@pytest.mark.parametrize("typed", [DATA["text"], ("data=text", "data.path=more.txt"), DATA["repeated"]])
def test_other_data_are_named_beside_the_data_of_the_training(typed, run, place):
    code, printed = validate(place, run("pydoc"), *typed)
    assert code == 0, printed
    name = typed[1].partition("data.path=")[2] or "repeated"
    assert printed.splitlines()[-1].endswith(f" nats per character on {name}; the model was trained on pydoc")


@pytest.mark.parametrize("name", ["pydoc", "words", "text"])
def test_single_keys_change_the_checkpoints_own_data(name, run, place):
    own = json.loads((run(name) / "summary.json").read_text())["data"]
    code, printed = validate(place, run(name), "data.split=interleaved")
    assert code == 0, printed
    split = "which training split differently: data.split=last"
    assert printed.splitlines()[-1].endswith(f" nats per {own['tokenizer']} on {own['name']}, {split}")


@pytest.mark.parametrize(
    ("name", "typed", "expected"),
    [
        ("text", "data.path=more.txt", " or data=text data.path=… or "),
        ("text", "+data.path=more.txt", " or data=text data.path=… or "),
        (
            "toy",
            "data.split=interleaved",
            "cannot be read with data.split: there is no key data.split; write data=pydoc",
        ),
        (
            "pydoc",
            "data.fallback=pydoc",
            "cannot be read with data.fallback: there is no key data.fallback; write data",
        ),
    ],
)
def test_a_key_that_the_data_do_not_have_names_the_options_that_have_it(name, typed, expected, run, place):
    code, printed = validate(place, run(name), typed)
    assert code == 2
    assert expected in printed.splitlines()[-1]


def test_data_of_a_typed_experiment_are_used(run, place):
    code, printed = validate(place, run("pydoc"), "experiment=markov")
    assert code == 0, printed
    assert "nats per character on markov; the model was trained on pydoc" in printed


def test_data_that_do_not_fit_are_one_line(run, place):
    code, printed = validate(place, run("lines"), "data=pydoc")
    assert code == 2
    assert printed.splitlines()[-1].startswith(
        "error: pydoc does not fit the checkpoint's tokenizer: unknown character"
    )


def test_a_changed_or_missing_text_is_noticed(run, place):
    folder = run("text")
    (place / "text.txt").write_text(TEXT * 60)
    code, printed = validate(place, folder)
    assert code == 0, printed
    assert printed.splitlines()[-1].endswith("on text.txt, which has changed since the model was trained on it")
    (place / "text.txt").unlink()
    code, printed = validate(place, folder)
    assert code == 2
    problem = f"data.path={place}/text.txt does not exist; use a text file or a folder of text files"
    assert f"best.ckpt was trained on data that cannot be read: {problem}; choose other" in printed.splitlines()[-1]
    assert printed.endswith("as in data=text data.path=…")
    (place / "text.txt").write_text(TEXT * 50)


@pytest.mark.parametrize(
    "recorded", [None, [], {"data": None}, {"data": {"_target_": "os.system"}}, {"data": {"_target_": 3}}]
)
def test_recorded_data_that_cannot_be_used_are_one_line_or_left_out(recorded, run, place, tmp_path):
    saved = torch.load(run("pydoc") / "checkpoints" / "best.ckpt", weights_only=True)
    saved["headscope"]["about"]["config"] = recorded
    torch.save(saved, tmp_path / "x.ckpt")
    (place / "data").mkdir(exist_ok=True)
    shutil.copy(place / "text.txt", place / "data" / "tiny_shakespeare.txt")  # so that nothing is downloaded
    code, printed = validate(place, tmp_path / "x.ckpt")
    assert code == 2
    has_data = isinstance(recorded, dict) and recorded["data"]
    expected = "x.ckpt was trained on data that cannot be read: " if has_data else "is not tiny Shakespeare"
    assert expected in printed.splitlines()[-1]
    code, printed = validate(place, tmp_path / "x.ckpt", "data=pydoc")
    assert code == 0, printed
    assert "nats per character on pydoc" in printed


def test_a_run_that_fell_back_is_measured_on_the_text_that_replaced_the_download(run, place, tmp_path):
    saved = torch.load(run("pydoc") / "checkpoints" / "best.ckpt", weights_only=True)
    source = {"_target_": "headscope.data.shakespeare.TinyShakespeare", "data_dir": "d", "fallback": "pydoc"}
    saved["headscope"]["about"]["config"]["data"] = source
    torch.save(saved, tmp_path / "x.ckpt")
    code, printed = validate(place, tmp_path / "x.ckpt")
    assert code == 0, printed
    assert "nats per character on pydoc" in printed.splitlines()[-1]


@pytest.mark.slow
def test_the_command_names_the_text(pydoc_run, tmp_path):
    best = pydoc_run[0] / "checkpoints" / "best.ckpt"
    done = shell("train.py", "task=validate", f"checkpoint={best}", f"hydra.run.dir={tmp_path}/v")
    assert "nats per character on pydoc" in done.stdout, done.stderr
