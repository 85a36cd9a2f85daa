"""A checkpoint is plain data: in three formats, it loads as the same model, and loading executes no code."""

import os
import pickle
import shutil

import pytest
import torch

import headscope
from headscope import checkpoint
from headscope.checkpoint.export import export
from headscope.data.tokenizers import CharTokenizer
from headscope.errors import UserError
from headscope.model.mlp import FixedContextMLP
from headscope.model.position import Rotary, Sinusoidal
from tests.conftest import SCHEMES, shell, small

TOKENIZER = CharTokenizer(vocab=list("abcdefghijk"))


def save(model, path, **changes):
    card = checkpoint.card(model, TOKENIZER, name="run", data={"name": "test"})
    state = {f"model.{k}": v for k, v in model.state_dict().items()}
    torch.save({"state_dict": state, "global_step": 7, "headscope": card} | changes, path)
    return path


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_loaded_model_equals_the_saved_model(scheme, tmp_path):
    model = small(scheme).eval()
    loaded, tokenizer, about = headscope.load(save(model, tmp_path / "a.ckpt"))
    ids = torch.randint(11, (2, 16))
    assert torch.equal(loaded(ids), model(ids))
    assert not loaded.training
    assert tokenizer.vocab == TOKENIZER.vocab
    assert about["data"]["name"] == "test"


def test_differences_of_models_with_the_same_shapes_are_listed():
    model = small(Rotary)
    assert checkpoint.differences(model, small(Rotary, dropout=0.5, block_size=8, seed=1)) == ""
    differences = checkpoint.differences(model, small(Sinusoidal, n_heads=4))
    assert differences == "n_heads=2, here 4, position=Rotary(base=10000.0), here Sinusoidal(base=10000.0)"


def test_the_options_of_a_positional_scheme_are_saved(tmp_path):
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


def test_code_in_a_file_is_not_executed(tmp_path):
    owned = tmp_path / "owned"
    torch.save({"state_dict": {}, "hyper_parameters": Evil(owned)}, tmp_path / "zip.ckpt")
    (tmp_path / "pickle.ckpt").write_bytes(pickle.dumps({"state_dict": Evil(owned)}))
    with pytest.raises(UserError, match=r"zip\.ckpt holds code"):
        headscope.load(tmp_path / "zip.ckpt")
    with pytest.raises(UserError, match=r"pickle\.ckpt .* was not loaded"):
        headscope.load(tmp_path / "pickle.ckpt")
    assert not owned.exists()


def test_classes_that_lightning_would_call_are_ignored(pydoc_run, tmp_path):
    """`_instantiator` executed code up to Lightning 2.6.5, despite `weights_only=True` (PL#21822)."""
    folder = tmp_path / "run"
    shutil.copytree(pydoc_run[0], folder)
    last = folder / "checkpoints" / "last.ckpt"
    saved = torch.load(last, weights_only=True)
    hostile = {"_instantiator": "os.system", "_class_path": "os.system", "command": f"touch {tmp_path}/owned"}
    torch.save(saved | {"hyper_parameters": hostile, "datamodule_hyper_parameters": hostile}, last)
    headscope.load(last)
    done = shell("train.py", f"resume={folder}", "trainer.max_steps=31")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("content", [b"", b"noise" * 100, b"PK\x03\x04" + b"\0" * 100])
def test_a_damaged_file_is_refused(tmp_path, content):
    (tmp_path / "a.ckpt").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.ckpt"):
        headscope.load(tmp_path / "a.ckpt")


def test_files_of_another_kind_are_refused(tmp_path):
    with pytest.raises(UserError, match="there is no checkpoint at"):
        headscope.load(tmp_path / "none.ckpt")
    torch.save({"state_dict": {}}, tmp_path / "a.ckpt")
    with pytest.raises(UserError, match="is not a checkpoint that Headscope reads"):
        headscope.load(tmp_path / "a.ckpt")


def test_only_known_classes_are_built(tmp_path):
    model = small()
    card = checkpoint.card(model, TOKENIZER, data={})
    for part in ("model", "tokenizer"):
        changed = card | {part: card[part] | {"class": "Popen"}}
        with pytest.raises(UserError, match="called 'Popen'"):
            headscope.load(save(model, tmp_path / "a.ckpt", headscope=changed))
    with pytest.raises(UserError, match="damaged or from another version"):
        headscope.load(save(model, tmp_path / "a.ckpt", state_dict={"model.head.weight": torch.zeros(3)}))


def test_a_network_without_attention_can_be_loaded(tmp_path):
    model = FixedContextMLP(11, 3, 4, 16, 12)
    loaded = headscope.load(save(model, tmp_path / "a.ckpt")).model
    ids = torch.randint(11, (2, 12))
    assert torch.equal(loaded(ids), model(ids))


def part4_layout(v, c, n_layers, t):
    """Returns names and shapes of Part 4's state dict, taken from its class definitions and not from our export."""
    layout = {"token_emb.weight": (v, c), "pos_enc.pe": (1, t, c)}
    for i in range(n_layers):
        layout |= {
            f"blocks.{i}.attention.W_qkv.weight": (3 * c, c),
            f"blocks.{i}.attention.W_out.weight": (c, c),
            f"blocks.{i}.ffn.0.weight": (4 * c, c),
            f"blocks.{i}.ffn.0.bias": (4 * c,),
            f"blocks.{i}.ffn.2.weight": (c, 4 * c),
            f"blocks.{i}.ffn.2.bias": (c,),
            f"blocks.{i}.ln1.weight": (c,),
            f"blocks.{i}.ln1.bias": (c,),
            f"blocks.{i}.ln2.weight": (c,),
            f"blocks.{i}.ln2.bias": (c,),
        }
    return layout | {
        "ln_final.weight": (c,),
        "ln_final.bias": (c,),
        "output.weight": (v, c),
        "output.bias": (v,),
    }


class Part4(torch.nn.Module):
    """A model that has Part 4's names of modules and computes the same as Part 4's model."""

    def __init__(self, v, c, n_heads, n_layers, t):
        super().__init__()
        nn = torch.nn
        self.n_heads = n_heads
        self.token_emb, self.pos_enc = nn.Embedding(v, c), nn.Module()
        self.pos_enc.register_buffer("pe", torch.zeros(1, t, c))
        self.blocks = nn.ModuleList()
        for _ in range(n_layers):
            block = nn.Module()
            block.attention = nn.Module()
            block.attention.W_qkv = nn.Linear(c, 3 * c, bias=False)
            block.attention.W_out = nn.Linear(c, c, bias=False)
            block.ffn = nn.Sequential(nn.Linear(c, 4 * c), nn.GELU(), nn.Linear(4 * c, c), nn.Dropout(0.1))
            block.ln1, block.ln2 = nn.LayerNorm(c), nn.LayerNorm(c)
            self.blocks.append(block)
        self.ln_final, self.output = nn.LayerNorm(c), nn.Linear(c, v)

    def forward(self, ids):
        b, t = ids.shape
        x = self.token_emb(ids) + self.pos_enc.pe[:, :t]
        for block in self.blocks:
            h = block.ln1(x)
            qkv = block.attention.W_qkv(h).reshape(b, t, 3, self.n_heads, -1).permute(2, 0, 3, 1, 4)
            scores = qkv[0] @ qkv[1].transpose(-2, -1) / qkv.shape[-1] ** 0.5
            future = torch.ones(t, t).triu(1).bool()
            heads = scores.masked_fill(future, float("-inf")).softmax(-1) @ qkv[2]
            x = x + block.attention.W_out(heads.permute(0, 2, 1, 3).reshape(b, t, -1))
            x = x + block.ffn(block.ln2(x))
        return self.output(self.ln_final(x))


def test_part4_accepts_its_format_strictly_and_computes_the_same(tmp_path):
    model = small(Sinusoidal).eval()
    save(model, tmp_path / "a.ckpt", callbacks={"History": {"train_loss": 1.5}})
    done = shell("-m", "headscope.checkpoint", tmp_path / "a.ckpt", tmp_path / "p.pt", "--format", "part4")
    assert done.returncode == 0, done.stderr
    saved = torch.load(tmp_path / "p.pt", weights_only=True)
    assert saved.keys() == {"model_state_dict", "model_config", "stoi", "itos", "final_loss", "tokenizer"}
    assert saved["model_config"] == {"vocab_size": 11, "d_model": 16, "n_heads": 2, "n_layers": 2, "block_size": 16}
    assert saved["stoi"]["c"] == 2
    assert saved["itos"][2] == "c"
    assert saved["final_loss"] == 1.5
    assert {k: tuple(v.shape) for k, v in saved["model_state_dict"].items()} == part4_layout(11, 16, 2, 16)
    theirs = Part4(11, 16, 2, 2, 16)
    theirs.load_state_dict(saved["model_state_dict"], strict=True)
    ids = torch.randint(11, (2, 16))
    torch.testing.assert_close(theirs.eval()(ids), model(ids), atol=1e-5, rtol=1e-5)
    back = headscope.load(tmp_path / "p.pt")
    assert torch.equal(back.model(ids), model(ids))
    assert back.tokenizer.vocab == TOKENIZER.vocab


@pytest.mark.parametrize("scheme", SCHEMES)
def test_safetensors_carry_config_and_vocabulary(scheme, tmp_path):
    from safetensors import safe_open

    model = small(scheme).eval()
    save(model, tmp_path / "a.ckpt")
    (tmp_path / "a.safetensors").write_bytes(export(tmp_path / "a.ckpt", "safetensors"))
    with safe_open(tmp_path / "a.safetensors", framework="pt") as f:
        assert '"vocab": ["a", "b"' in f.metadata()["headscope"]
    loaded = headscope.load(tmp_path / "a.safetensors")
    ids = torch.randint(11, (2, 16))
    assert torch.equal(loaded.model(ids), model(ids))
    assert loaded.about["data"]["name"] == "test"


def test_models_that_part4_lacks_are_refused(tmp_path):
    save(small(Rotary), tmp_path / "rope.ckpt")
    save(FixedContextMLP(11, 3, 4, 16, 12), tmp_path / "mlp.ckpt")
    for name, message in (("rope", "only sinusoidal positions"), ("mlp", "is for a TransformerLM")):
        out = tmp_path / "out.pt"
        done = shell("-m", "headscope.checkpoint", tmp_path / f"{name}.ckpt", out, "--format", "part4")
        assert done.returncode == 2
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert not out.exists()


def test_generate_reads_both_exports(toy_run, tmp_path):
    best = toy_run[0] / "checkpoints" / "best.ckpt"
    for kind in ("part4", "safetensors"):
        path = tmp_path / kind
        path.write_bytes(export(best, kind))
        done = shell("generate.py", f"checkpoint={path}", "prompt=I love", "temperature=0", "max_new_tokens=2")
        assert done.stdout == "I love cats <eos>\n", done.stderr
