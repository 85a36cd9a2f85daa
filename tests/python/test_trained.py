"""The methods of a loaded model give the same results as the commands."""

import pytest
import torch

import headscope
from headscope.data.tokenizers import BytePairTokenizer, CharTokenizer, WordTokenizer
from headscope.heads.reports import HeadReport
from headscope.model.mlp import FixedContextMLP
from tests.checkpoint.test_checkpoint import save
from tests.conftest import shell


@pytest.fixture(scope="module")
def trained(pydoc_run):
    return headscope.load(pydoc_run[0])


def test_it_writes_what_the_command_writes(trained):
    options = {"max_new_tokens": 40, "temperature": 0.7, "top_k": 20, "top_p": 0.9, "seed": 3}
    typed = [f"{key}={value}" for key, value in options.items()]
    done = shell("generate.py", f"checkpoint={trained.checkpoint}", "prompt=the ", *typed)
    assert trained.generate("the ", **options) + "\n" == done.stdout
    assert trained.generate("the ", **options) == trained.generate("the ", **options)


@pytest.mark.parametrize(
    ("ask", "printed"),
    [
        (lambda t: t.generate(temperature=-1), "temperature=-1 must be at least 0"),
        (lambda t: t.generate(max_new_tokens=0), "max_new_tokens=0 must be at least 1"),
        (lambda t: t.generate(top_p="much"), "top_p=much must be a number or null"),
        (lambda t: t.generate("the \u4e00"), "unknown character '\u4e00'"),
        (lambda t: t.next("the", most=0), "most=0 must be at least 1"),
        (lambda t: t.next(5), "text=5 must be a string, as in next("),
        (lambda t: t.generate(b"the"), "text=b'the' must be a string, as in generate("),
        (lambda t: t.loss(b"the"), "text=b'the' must be a string, as in loss("),
        (lambda t: t.heads(None), "text=None must be a string, as in heads("),
        (lambda t: t.page(["the"]), "text=['the'] must be a string, as in page("),
        (lambda t: t.loss("t"), "a loss needs at least two tokens, and 't' has 1"),
        (lambda t: t.page("x").save("/proc/x/page.html"), "/proc/x/page.html cannot be used"),
    ],
)
def test_what_it_cannot_do_is_one_line(ask, printed, trained):
    with pytest.raises(headscope.UserError) as error:
        ask(trained)
    assert str(error.value).startswith(printed)
    assert "\n" not in str(error.value)


def test_the_loss_is_that_of_each_token_in_a_window_of_its_own_past(trained):
    text = "the quick brown fox jumps over the lazy dog. " * 4
    ids, size = trained.tokenizer.encode(text), trained.model.block_size
    assert len(ids) > 2 * size
    total = 0.0
    for i in range(1, len(ids)):
        start = (i - 1) // size * size
        with torch.no_grad():
            total -= trained.model(ids[None, start:i])[0, -1].log_softmax(-1)[ids[i]].item()
    assert trained.loss(text) == pytest.approx(total / (len(ids) - 1), rel=1e-4)


def test_the_next_tokens_are_ranked(trained):
    ranked = trained.next("the", most=5)
    assert len(ranked) == 5
    assert [p for _, p in ranked] == sorted((p for _, p in ranked), reverse=True)
    assert sum(p for _, p in trained.next("the", most=10**6)) == pytest.approx(1)


def test_heads_have_their_maps_and_what_they_do(trained):
    heads = trained.heads("the lazy dog")
    model = trained.model
    assert heads.tokens == list("the lazy dog")
    assert heads.maps.shape == (model.n_layers, model.n_heads, 12, 12)
    assert torch.allclose(heads.maps.sum(-1), torch.ones(()))
    assert heads.maps.triu(1).abs().max() == 0
    assert all(isinstance(report, HeadReport) for report in heads.reports)
    assert str(heads).startswith("head  role")


def test_a_model_without_heads_says_so(tmp_path):
    torch.manual_seed(0)
    trained = headscope.load(save(FixedContextMLP(11, 3, 4, 8, 8), tmp_path / "mlp.ckpt"))
    with pytest.raises(headscope.UserError, match="holds a FixedContextMLP, which has no heads"):
        trained.heads("a")


def test_it_unpacks_and_shows_where_it_came_from(trained, pydoc_run):
    model, tokenizer, about = trained
    assert (model, tokenizer, about) == (trained.model, trained.tokenizer, trained.about)
    assert not model.training
    assert repr(trained) == f"Trained('{pydoc_run[0]}/checkpoints/best.ckpt')"
    assert repr(headscope.Run(pydoc_run[0])) == f"Run('{pydoc_run[0]}')"


TEXT = "to be or not\nto be"


@pytest.mark.parametrize("kind", [CharTokenizer, WordTokenizer, BytePairTokenizer])
def test_what_encode_gives_decode_takes(kind):
    tokenizer = kind.of([TEXT], 300)
    ids = tokenizer.encode(TEXT)
    for same in (ids, ids.tolist(), tuple(ids.tolist()), ids.to(torch.uint8 if len(tokenizer) < 256 else torch.int32),
                 ids[None], ids.numpy()):  # fmt: skip
        assert tokenizer.decode(same) == TEXT
    assert tokenizer.decode([]) == tokenizer.decode(ids[:0]) == ""


def test_a_lost_file_is_one_line(tmp_path):
    with pytest.raises(headscope.UserError, match="there is no checkpoint at"):
        headscope.load(tmp_path / "none.ckpt")
    with pytest.raises(headscope.UserError, match="no run was started in"):
        headscope.Run(tmp_path)
