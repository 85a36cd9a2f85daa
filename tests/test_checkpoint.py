"""A checkpoint is data: it gives the same model back, and runs nothing."""

import os
import pickle

import pytest
import torch

import headscope
from headscope import checkpoint
from headscope.data.tokenizer import CharTokenizer
from headscope.errors import UserError
from headscope.model.position import Rotary
from tests.conftest import SCHEMES, small

TOKENIZER = CharTokenizer(vocab=list("abcdefghijk"))


def save(model, path, **changes):
    card = checkpoint.card(model, TOKENIZER, data={"name": "test"})
    state = {f"model.{k}": v for k, v in model.state_dict().items()}
    torch.save({"state_dict": state, "global_step": 7, "headscope": card} | changes, path)
    return path


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_same_model_comes_back(scheme, tmp_path):
    model = small(scheme).eval()
    loaded, tokenizer, about = headscope.load(save(model, tmp_path / "a.ckpt"))
    ids = torch.randint(11, (2, 16))
    assert torch.equal(loaded(ids), model(ids))
    assert not loaded.training
    assert tokenizer.vocab == TOKENIZER.vocab
    assert about["data"]["name"] == "test"


def test_the_options_of_a_scheme_come_back(tmp_path):
    from functools import partial

    model = small(partial(Rotary, base=500.0))
    assert headscope.load(save(model, tmp_path / "a.ckpt")).model.position.base == 500.0


def test_a_run_writes_checkpoints_that_are_plain_data(pydoc_run):
    folder, _ = pydoc_run
    for name in ("best", "last"):
        saved = torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)
        assert saved["global_step"] == 30
        assert saved["headscope"]["about"]["data"]["name"] == "pydoc"
        assert saved["headscope"]["about"]["config"]["model"]["dropout"] == 0.1
        assert {"state_dict", "optimizer_states", "lr_schedulers", "callbacks"} <= saved.keys()


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_nothing_in_a_file_is_run(tmp_path):
    owned = tmp_path / "owned"
    torch.save({"state_dict": {}, "hyper_parameters": Evil(owned)}, tmp_path / "zip.ckpt")
    (tmp_path / "pickle.ckpt").write_bytes(pickle.dumps({"state_dict": Evil(owned)}))
    with pytest.raises(UserError, match=r"zip\.ckpt holds code"):
        headscope.load(tmp_path / "zip.ckpt")
    with pytest.raises(UserError, match=r"pickle\.ckpt .* was not loaded"):
        headscope.load(tmp_path / "pickle.ckpt")
    assert not owned.exists()


@pytest.mark.parametrize("content", [b"", b"noise" * 100, b"PK\x03\x04" + b"\0" * 100])
def test_a_damaged_file_is_refused(tmp_path, content):
    (tmp_path / "a.ckpt").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.ckpt"):
        headscope.load(tmp_path / "a.ckpt")


def test_files_of_another_kind_are_refused(tmp_path):
    with pytest.raises(UserError, match="there is no checkpoint at"):
        headscope.load(tmp_path / "none.ckpt")
    torch.save({"state_dict": {}}, tmp_path / "a.ckpt")
    with pytest.raises(UserError, match="is not a Headscope checkpoint"):
        headscope.load(tmp_path / "a.ckpt")


def test_only_known_classes_are_built(tmp_path):
    model = small()
    card = checkpoint.card(model, TOKENIZER, data={})
    for part in ("model", "tokenizer"):
        changed = card | {part: card[part] | {"class": "Popen"}}
        with pytest.raises(UserError, match="called 'Popen'"):
            headscope.load(save(model, tmp_path / "a.ckpt", headscope=changed))
    with pytest.raises(UserError, match="damaged or of another version"):
        headscope.load(save(model, tmp_path / "a.ckpt", state_dict={"model.head.weight": torch.zeros(3)}))
