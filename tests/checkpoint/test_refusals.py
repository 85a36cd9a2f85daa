"""Each file that cannot be used gets the message for its cause."""

import codecs
import json
import pickle
import shutil
from collections import OrderedDict
from fractions import Fraction

import numpy as np
import pytest
import torch

import headscope
from headscope.checkpoint.export import export_folder
from headscope.errors import UserError
from tests.checkpoint import nanogpt
from tests.checkpoint.test_fields import refusal, save

USABLE = "use a run's folder or one of its *.ckpt files, an export, or a checkpoint of nanoGPT or Part 4"


@pytest.mark.parametrize("content", [b"# Title\n" * 9, b"\x89PNG\r\n\x1a\n" * 9, b"", b'{"a": 1}'])
def test_a_file_of_another_kind_is_not_called_damaged(content, tmp_path):
    (tmp_path / "README.md").write_bytes(content)
    assert refusal(tmp_path / "README.md") == f"is not a checkpoint that Headscope reads; {USABLE}"


def test_a_dictionary_of_another_program_is_not_called_damaged(tmp_path):
    torch.save({"weights": {}}, tmp_path / "a.pt")
    assert refusal(tmp_path / "a.pt") == f"is not a checkpoint that Headscope reads; {USABLE}"


@pytest.mark.parametrize(
    "number", [np.float64(1.5), np.float32(2.5), np.int64(3), np.bool_(True), np.dtype(">i4").type(7)], ids=repr
)
def test_a_nanogpt_file_with_numpy_numbers_is_loaded(number, tmp_path):
    """nanoGPT saves its loss, which is a numpy number if the user computed the mean with numpy."""
    model = nanogpt.GPT(n_embd=8, n_layer=1)
    numbers = {"iter_num": np.int64(250), "best_val_loss": number}
    args = model.args | {"n_layer": np.int64(1), "dropout": np.float64(0.25)}
    path = nanogpt.save(model, tmp_path / "ckpt.pt", model_args=args, **numbers)
    loaded, _, about = headscope.load(path)
    assert (about["step"], loaded.n_layers, loaded.dropout) == (250, 1, 0.25)


@pytest.mark.parametrize("value", [np.array([1.0]), np.dtype(object), Fraction(1, 2), np.datetime64("2020-01-01")])
def test_other_objects_of_numpy_and_python_are_not_loaded(value, tmp_path):
    path = nanogpt.save(nanogpt.GPT(n_embd=8, n_layer=1), tmp_path / "ckpt.pt", best_val_loss=value)
    assert "holds code, not only data, and was not loaded; open the file in the program that wrote it" in refusal(path)


def with_protocol(protocol, path, new_format=True):
    nanogpt.save(nanogpt.GPT(n_embd=8, n_layer=1), path)
    torch.save(torch.load(path), path, pickle_protocol=protocol, _use_new_zipfile_serialization=new_format)
    return path


@pytest.mark.parametrize("new_format", [True, False])
@pytest.mark.parametrize("protocol", [4, 5])
def test_a_file_of_a_newer_pickle_protocol_is_explained(protocol, new_format, tmp_path):
    message = refusal(with_protocol(protocol, tmp_path / "ckpt.pt", new_format))
    assert message.startswith(f"was saved with pickle_protocol={protocol} and was not loaded")
    assert message.endswith("save it again with torch.save(content, path)")


def test_a_file_of_the_older_pickle_protocol_3_is_loaded(tmp_path):
    assert headscope.load(with_protocol(3, tmp_path / "ckpt.pt")).model


def test_a_pickle_of_python_is_explained(tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"model": 1}, protocol=4))
    assert "was saved with pickle_protocol=4" in refusal(tmp_path / "a.pkl")


@pytest.mark.parametrize("place", ["", "checkpoints"])
def test_a_run_without_a_validation_names_its_last_checkpoint(place, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    last = save(tmp_path / "checkpoints" / "last.ckpt")
    assert refusal(tmp_path / place) == f"has no best.ckpt, because its run did not reach a validation; use {last}"


def sharded(folder):
    for part in (1, 2):
        shutil.copy(folder / "model.safetensors", folder / f"model-0000{part}-of-00002.safetensors")
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {}}))


@pytest.mark.parametrize("named", ["", "model-00001-of-00002.safetensors", "no config"])
def test_weights_in_several_files_are_explained(named, tmp_path):
    folder = tmp_path / "folder"
    export_folder(save(tmp_path / "a.ckpt"), folder)
    sharded(folder)
    if named == "no config":
        (folder / "config.json").unlink()
    path = folder / named if named != "no config" else folder
    with pytest.raises(UserError, match="folder has its weights in several files; save them in one, with "):
        headscope.load(path)


class Call:
    """Is pickled as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("new_format", [True, False])
@pytest.mark.parametrize(
    "value",
    [
        Call(bytearray, 10),
        Call(torch.FloatTensor, 10),
        Call(torch.Tensor, 10),
        Call(torch.UntypedStorage, 10),
        Call(OrderedDict, [("a", 1)]),
        Call(torch.Size, (1,) * 1000),
        Call(codecs.encode, "a" * 1000, "latin1"),
    ],
    ids=lambda value: value.call[0].__name__,
)
@pytest.mark.filterwarnings("ignore")
def test_a_function_that_can_take_any_amount_of_memory_is_not_called(value, new_format, tmp_path):
    model = nanogpt.GPT(n_embd=8, n_layer=1)
    path = nanogpt.save(model, tmp_path / "ckpt.pt")
    torch.save(torch.load(path) | {"more": value}, path, _use_new_zipfile_serialization=new_format)
    assert "was not loaded" in refusal(path) or "cannot be read" in refusal(path)
