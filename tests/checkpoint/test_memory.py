"""A small file cannot ask for much memory: each is loaded, or refused in one line, in a process with limited memory."""

import subprocess
import sys
import zipfile
from functools import partial

import pytest
import torch

import headscope
from headscope import checkpoint
from headscope.checkpoint.export import export_folder
from headscope.data.tokenizers import CharTokenizer
from headscope.errors import UserError
from headscope.model.position import ALiBi, Learned, Position, Rotary, Sinusoidal
from headscope.model.position.biases import T5
from headscope.model.position.rotary import Polar
from headscope.model.transformer import TransformerLM
from tests.checkpoint import nanogpt
from tests.conftest import small

TOKENIZER = CharTokenizer(vocab=list("abcdefghijk"))
PEAK = """
import sys
import headscope.checkpoint.export
from headscope.errors import UserError
peak = lambda: int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
before = peak()
for path in sys.argv[1:]:
    try:
        headscope.checkpoint.load(path).model
        print("loaded")
    except UserError as e:
        assert len(str(e).splitlines()) == 1
        print(str(e).removeprefix(f"{path} "))
print(peak() - before)
"""


def described(build, path, **changes):
    """Saves a model without building it: its weights all repeat one stored number."""
    with torch.device("meta"):
        model = build()
    weights = {f"model.{name}": torch.zeros(1).expand(w.shape) for name, w in model.state_dict().items()}
    card = checkpoint.card(model, TOKENIZER, name="run", data={"name": "test"})
    torch.save({"state_dict": weights, "headscope": card} | changes, path)
    return path


def outcomes(*paths):
    """What another process says about each file, and by how many MB its largest memory grew."""
    done = subprocess.run([sys.executable, "-c", PEAK, *map(str, paths)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *lines, peak = done.stdout.splitlines()
    return lines, int(peak) / 1024


def test_weights_that_repeat_one_number_are_refused(tmp_path):
    """Three small files: a transformer of 3.3 GB, one of nanoGPT, and one whose weights overlap."""
    path = described(partial(TransformerLM, 11, 4096, 8, 4, 64, position=Rotary), tmp_path / "a.ckpt")
    with torch.device("meta"):
        theirs = nanogpt.GPT(n_embd=4096, n_layer=4)
    weights = {name: torch.zeros(1).expand(w.shape) for name, w in theirs.state_dict().items()}
    torch.save({"model": weights, "model_args": theirs.args, "config": {"dataset": "shakespeare_char"}}, tmp_path / "b")
    numbers = torch.zeros(100)
    overlapping = {f"model.{k}": numbers.as_strided(w.shape, (1,) * w.ndim) for k, w in small().state_dict().items()}
    described(small, tmp_path / "c.ckpt", state_dict=overlapping)
    assert max(p.stat().st_size for p in tmp_path.iterdir()) < 100_000
    lines, peak = outcomes(path, tmp_path / "b", tmp_path / "c.ckpt")
    assert all("stored bytes to" in line for line in lines), lines
    assert peak < 200


def test_layers_that_share_all_weights_are_refused(tmp_path):
    build = partial(TransformerLM, 11, 256, 8, 100, 64, position=Rotary)
    shared = {}
    with torch.device("meta"):
        names = {f"model.{k}": w.shape for k, w in build().state_dict().items()}
    weights = {name: shared.setdefault(shape, torch.zeros(shape)) for name, shape in names.items()}
    described(build, tmp_path / "a.ckpt", state_dict=weights)
    lines, peak = outcomes(tmp_path / "a.ckpt")
    assert "cannot be used: the weights share memory" in lines[0]
    assert peak < 200


def test_a_tied_embedding_and_shared_biases_are_loaded(tmp_path):
    model = small(T5)
    model.head.weight = model.embedding.weight
    state = {f"model.{k}": v for k, v in model.state_dict().items()}
    assert headscope.load(described(lambda: small(T5), tmp_path / "a.ckpt", state_dict=state)).model


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (lambda w: w.to("meta"), "is a meta tensor"),
        (lambda w: w.to_sparse(), "is a sparse tensor"),
        (lambda w: w.to_sparse_csr() if w.ndim == 2 else w.clone(), "is a sparse tensor"),
        (lambda w: torch.quantize_per_tensor(w, 0.1, 0, torch.qint8), "is a quantized tensor"),
        (lambda w: w.to(torch.int8), "has the type int8; save it as float32"),
        (lambda w: w.to(torch.complex64), "has the type complex64"),
        (lambda w: "weight", "is not a tensor"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_weights_of_another_kind_are_refused(kind, message, tmp_path):
    state = {f"model.{k}": kind(v) for k, v in small().state_dict().items()}
    with pytest.raises(UserError, match=message):
        headscope.load(described(small, tmp_path / "a.ckpt", state_dict=state))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_other_precisions_are_loaded(dtype, tmp_path):
    state = {f"model.{k}": v.to(dtype) for k, v in small().state_dict().items()}
    assert (
        headscope.load(described(small, tmp_path / "a.ckpt", state_dict=state)).model.head.weight.dtype == torch.float32
    )


def wide(scheme, d_model=4096, block_size=1 << 17, n_layers=1):
    return partial(TransformerLM, 11, d_model, 1, n_layers, block_size, position=scheme)


def stored(build, path):
    """Saves a model whose weights are all stored, apart from those that cannot be small."""
    with torch.device("meta"):
        model = build()
    weights = {f"model.{name}": torch.zeros(w.shape) for name, w in model.state_dict().items()}
    return described(build, path, state_dict=weights)


def test_tables_of_positions_that_are_too_large_are_refused(tmp_path):
    """Each of these models has few weights, and tables of 0.3 to 1 GB."""
    builds = [wide(scheme, 512) for scheme in (Sinusoidal, Rotary, Polar)] + [wide(Rotary, 64, n_layers=12)]
    files = [stored(build, tmp_path / f"{i}.ckpt") for i, build in enumerate(builds)]
    lines, peak = outcomes(*files)
    assert all("the tables of positions would have" in line for line in lines), lines
    assert peak < 200


def test_long_contexts_without_large_tables_are_loaded(tmp_path):
    builds = [wide(scheme, 64) for scheme in (Sinusoidal, Rotary, ALiBi, Position, Learned)]
    files = [stored(build, tmp_path / f"{i}.ckpt") for i, build in enumerate(builds)]
    lines, _ = outcomes(*files)
    assert lines == ["loaded"] * 5


def test_a_table_of_a_transformers_folder_is_limited_too(tmp_path):
    import json

    build = partial(TransformerLM, 11, 512, 1, 1, 16, position=Rotary)
    export_folder(stored(build, tmp_path / "a.ckpt"), tmp_path / "folder")
    config = tmp_path / "folder" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"max_position_embeddings": 1 << 17}))
    lines, peak = outcomes(tmp_path / "folder")
    assert "the tables of positions would have" in lines[0]
    assert peak < 200


def test_a_compressed_archive_is_refused(tmp_path):
    """A file of 3 MB would be unpacked to 3 GB; this one is smaller."""
    stored(partial(TransformerLM, 11, 512, 1, 4, 16, position=Rotary), tmp_path / "a.ckpt")
    with (
        zipfile.ZipFile(tmp_path / "a.ckpt") as old,
        zipfile.ZipFile(tmp_path / "b.ckpt", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
    assert (tmp_path / "b.ckpt").stat().st_size < 500_000
    lines, peak = outcomes(tmp_path / "b.ckpt")
    assert "is a compressed archive; save the checkpoint again" in lines[0]
    assert peak < 20
