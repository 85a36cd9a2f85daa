"""Files whose fields, tensors and sizes are drawn at random: each loads and writes a token, or is refused in a line.

Each example may use 2 GB of memory and 10 s of CPU time, however large the model is that it describes.
"""

import copy
import json
import time
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from safetensors.torch import save as to_safetensors

from headscope import checkpoint
from headscope.checkpoint import hf_folder
from headscope.data.tokenizers import EOS, PAD, BytePairTokenizer, CharTokenizer, LineTokenizer, WordTokenizer
from headscope.errors import UserError
from headscope.generation.sampling import Sampling
from headscope.generation.text import write_texts
from headscope.model.feedforward import GELU, SquaredReLU, SwiGLU
from headscope.model.mlp import FixedContextMLP
from headscope.model.position import Learned, Rotary
from headscope.model.qk_norm import QKNorm, Unit
from headscope.model.transformer import TransformerLM
from tests.checkpoint import nanogpt
from tests.model.schemes import ROWS

MEMORY, SECONDS = 2 << 20, 10  #: kB, and seconds of CPU time
STORED = 1 << 16  #: larger weights repeat one stored number
TOKENIZERS = [
    CharTokenizer(vocab=list("\nabcdefgh")),
    LineTokenizer(vocab=list("\nabcdefgh")),
    WordTokenizer(vocab=["\n", "to", "be", PAD, EOS]),
    BytePairTokenizer.of(["to be or not to be " * 9], 260),
]
fast = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
thorough = settings(fast, max_examples=400)

sizes = st.sampled_from([1, 2, 3, 4, 8, 16, 64, 4096, 1 << 17, 1 << 31])
names = ["Tokenizer", "LanguageModel", "FeedForward", "Position", "Rotary", "T5", "Unit", "LineTokenizer", "BytePair"]
scalars = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.sampled_from(names), sizes),
    st.sampled_from([10**399, 2**63, -(2**31), 1e300, 5e-324, "\x1b[2J", "a\nb", "meta", "gelu", "relu2", "default"]),
)
wild = st.recursive(
    scalars, lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=5) | st.just("class"), x, max_size=3)
)


def paths(content, at=()):
    """The path of every entry in nested dictionaries; of a list, only the first entries."""
    entries = (
        content.items() if isinstance(content, dict) else enumerate(content[:2] if isinstance(content, list) else ())
    )
    for key, value in entries:
        yield (*at, key)
        yield from paths(value, (*at, key))


@st.composite
def changed(draw, content, most=3):
    """Plain data with up to `most` entries replaced, removed or added."""
    content = copy.deepcopy(content)
    for _ in range(draw(st.integers(0, most))):
        found = sorted(paths(content), key=str)
        if not found:
            break
        *at, key = draw(st.sampled_from(found))
        node = content
        for step in at:
            node = node[step]
        kind = draw(st.sampled_from(["replace", "replace", "size", "remove", "add"]))
        if kind == "remove":
            del node[key]
        elif kind == "add" and isinstance(node, dict):
            node[draw(st.text(max_size=5))] = draw(wild)
        else:
            node[key] = draw(sizes if kind == "size" else wild)
    return content


TENSORS = [
    lambda w: w.to("meta"),
    lambda w: w.to_sparse(),
    lambda w: torch.zeros(1).expand(w.shape),
    lambda w: (w.real if w.is_complex() else w).to(torch.int8),
    lambda w: w.to(torch.float16),
    lambda w: w.to(torch.complex64),
    lambda w: w * float("nan"),
    lambda w: w * 1e38,
    lambda w: w.flatten(),
    lambda w: w[:0],
    lambda w: torch.zeros(()),
    lambda w: torch.zeros(1).expand(1 << 40),
    lambda w: None,
    lambda w: [w],
    lambda w: "weight",
]


@st.composite
def changed_weights(draw, weights, kinds=TENSORS):
    """Weights of which up to two are of another kind or shape, or missing."""
    weights = dict(weights)
    for name in draw(st.lists(st.sampled_from(sorted(weights)), max_size=2, unique=True)):
        if draw(st.booleans()):
            weights[name] = draw(st.sampled_from(kinds))(weights[name])
        else:
            del weights[name]
            assume(weights)
        if not isinstance(weights.get(name), torch.Tensor) or weights[name].is_meta or weights[name].is_sparse:
            break
    return weights


def empty(build):
    """A model without memory, and weights of its shapes: random, or if they are large, one repeated number."""
    with torch.device("meta"):
        model = build()
    torch.manual_seed(0)
    weights = {
        name: torch.randn(w.shape) if w.numel() < STORED else torch.zeros(1).expand(w.shape)
        for name, w in model.state_dict().items()
    }
    return model, weights


@st.composite
def models(draw):
    """A tokenizer, and the constructor of a model for its vocabulary."""
    tokenizer = draw(st.sampled_from(TOKENIZERS))
    heads, block_size, layers = draw(sizes.filter(lambda n: n <= 64)), draw(sizes), draw(st.sampled_from([1, 2, 50]))
    width = heads * draw(sizes.filter(lambda n: n <= 64))
    if draw(st.integers(0, 4)) == 0:
        return tokenizer, partial(FixedContextMLP, len(tokenizer), layers, width, heads, block_size)
    parts = (st.sampled_from([row.scheme for row in ROWS.values()]), st.sampled_from([GELU, SquaredReLU, SwiGLU]))
    build = partial(TransformerLM, len(tokenizer), width, heads, layers, block_size, 0.1)
    return tokenizer, partial(build, *map(draw, parts), draw(st.sampled_from([QKNorm, Unit])))


def peak():
    """The most memory that this process has used since the last call, in kB."""
    found = int(next(line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line).split()[1])
    Path("/proc/self/clear_refs").write_text("5")  # starts a new measurement
    return found


def check(path):
    """Loads a file and writes a token, or gets a message of one line."""
    peak()
    before, started = peak(), time.process_time()
    message = ""
    try:
        model, tokenizer, about = checkpoint.load(path)
        (pieces,) = write_texts(model, tokenizer, "", 1, Sampling(), [torch.Generator().manual_seed(0)])
        assert isinstance("".join(pieces), str)
        assert f"{about['name']} {about['data']['name']}".isprintable()
    except UserError as e:
        message = str(e)
    assert len(message.splitlines()) <= 1
    assert len(message) < 1000
    assert time.process_time() - started < SECONDS
    assert peak() - before < MEMORY


@st.composite
def checkpoints(draw):
    tokenizer, build = draw(models())
    try:
        model, weights = empty(build)
    except (ValueError, RuntimeError):  # the head width does not suit the scheme
        assume(False)
    about = {"name": "run", "data": {"name": "test"}, "passages": [[1, 2, 3, 4]] * 2, "config": {"seed": 1}}
    card = draw(changed(checkpoint.card(model, tokenizer, **about)))
    saved = {f"model.{name}": w for name, w in draw(changed_weights(weights)).items()}
    return {"state_dict": saved, "headscope": card} | draw(
        st.sampled_from([{}, {"global_step": 3}, {"global_step": "a"}])
    )


@st.composite
def folders(draw):
    """The files of a folder for transformers."""
    tokenizer = draw(st.sampled_from(TOKENIZERS))
    heads = draw(st.sampled_from([1, 2]))
    scheme, norm = draw(st.sampled_from([(Rotary, QKNorm), (Rotary, Unit), (Learned, QKNorm)]))
    kind = draw(st.sampled_from([GELU, SquaredReLU]))
    torch.manual_seed(0)
    model = TransformerLM(len(tokenizer), 4 * heads, heads, draw(st.sampled_from([1, 2])), 8, 0.1, scheme, kind, norm)
    about = {"name": "run", "data": {"name": "test"}, "passages": [[1, 2, 3, 4]]}
    files = hf_folder.files(model, tokenizer, about)
    for name in draw(st.lists(st.sampled_from(["config.json", "tokenizer.json"]), min_size=1, max_size=2, unique=True)):
        files[name] = json.dumps(draw(changed(json.loads(files[name])))).encode()
    if draw(st.booleans()):
        kinds = [kind for kind in TENSORS if kind not in TENSORS[:3] + TENSORS[11:]]
        weights = draw(changed_weights(hf_folder.hf_layout.write(model)[1], kinds))
        about = draw(changed(about))
        metadata = {"format": "pt", hf_folder.ABOUT: json.dumps(about)}
        files["model.safetensors"] = to_safetensors({k: w.contiguous() for k, w in weights.items()}, metadata)
    return files


@st.composite
def nanogpt_files(draw):
    """The content of nanoGPT's ckpt.pt."""
    width, heads = draw(st.sampled_from([(8, 1), (8, 2), (4096, 4)]))
    block_size, bias = draw(st.sampled_from([1, 16, 1 << 17])), draw(st.booleans())
    with torch.device("meta"):
        model = nanogpt.GPT(65, width, heads, draw(st.sampled_from([1, 2])), min(block_size, 16), bias)
    shapes = {name: w.shape for name, w in model.state_dict().items() if not name.endswith("attn.bias")}
    shapes["transformer.wpe.weight"] = torch.Size([block_size, width])
    weights = {
        name: torch.randn(shape) if shape.numel() < STORED else torch.zeros(1).expand(shape)
        for name, shape in shapes.items()
    }
    config = {"dataset": "shakespeare_char", "out_dir": "out"}
    saved = {"model_args": model.args | {"block_size": block_size}, "iter_num": 250, "config": config}
    return draw(changed(saved)) | {"model": draw(changed_weights(weights))}


@pytest.mark.parametrize("limit", [fast, pytest.param(thorough, marks=pytest.mark.slow)], ids=["fast", "thorough"])
@pytest.mark.parametrize("contents", [checkpoints, nanogpt_files])
@pytest.mark.filterwarnings("ignore")
def test_any_file_is_used_or_refused(contents, limit, tmp_path):
    @limit
    @given(contents())
    def any_file(content):
        torch.save(content, tmp_path / "ckpt.pt")
        check(tmp_path / "ckpt.pt")

    any_file()


@pytest.mark.parametrize("limit", [fast, pytest.param(thorough, marks=pytest.mark.slow)], ids=["fast", "thorough"])
def test_any_folder_of_transformers_is_used_or_refused(limit, tmp_path):
    @limit
    @given(folders())
    def any_folder(files):
        for name, content in files.items():
            (tmp_path / name).write_bytes(content)
        check(tmp_path)

    any_folder()
