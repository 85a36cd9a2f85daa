"""Reading nanoGPT's `ckpt.pt`: the logits are the same, and the vocabulary is found without opening a pickle."""

import pickle
import random

import pytest
import torch

import headscope
from headscope.checkpoint.nanogpt_layout import KNOWN
from headscope.data.tokenizers import CharTokenizer
from headscope.errors import UserError
from tests.checkpoint import nanogpt
from tests.conftest import ROOT, shell
from tests.inside import train
from tests.test_fuzz import mutated


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nanogpt.GPT()


@pytest.mark.parametrize("compiled", [False, True])
def test_the_loaded_model_has_the_same_logits(model, compiled, tmp_path):
    path = nanogpt.save(model, tmp_path / "ckpt.pt", compiled)
    loaded, tokenizer, about = headscope.load(path)
    ids = torch.randint(65, (3, 16))
    torch.testing.assert_close(loaded(ids), model(ids), atol=1e-5, rtol=1e-5)
    assert tokenizer.decode([0, 1, 64]) == "\n z"
    assert (about["name"], about["data"]["name"], about["step"]) == ("nanoGPT", "shakespeare_char", 250)
    assert loaded.dropout == 0.1
    assert torch.equal(headscope.load(tmp_path).model(ids), loaded(ids))


def test_biases_of_attention_are_folded(tmp_path):
    torch.manual_seed(0)
    model = nanogpt.GPT(bias=True)
    path = nanogpt.save(model, tmp_path / "ckpt.pt")
    ids = torch.randint(65, (3, 16))
    torch.testing.assert_close(headscope.load(path).model(ids), model(ids), atol=5e-5, rtol=1e-5)


def test_the_vocabulary_of_tiny_shakespeare_is_known():
    corpus = ROOT / "data" / "tiny_shakespeare.txt"
    assert len(KNOWN["shakespeare_char"]) == 65
    if corpus.exists():
        assert sorted(KNOWN["shakespeare_char"]) == sorted(set(corpus.read_text()))


TEXT = "to be or not to be"  #: has 7 different characters


def test_the_training_text_is_found_next_to_the_checkpoint_and_in_nanogpts_folder(tmp_path):
    model = nanogpt.GPT(vocab_size=7)
    config = {"dataset": "hamlet"}
    (tmp_path / "out").mkdir()
    path = nanogpt.save(model, tmp_path / "out" / "ckpt.pt", config=config)
    with pytest.raises(UserError, match=r"has 7 tokens but no vocabulary; copy its training text .* as input\.txt"):
        headscope.load(path)
    clone = tmp_path / "data" / "hamlet"
    clone.mkdir(parents=True)
    (clone / "input.txt").write_text(TEXT)
    (clone / "meta.pkl").write_bytes(pickle.dumps(print))  # Headscope never opens this file
    assert headscope.load(path).tokenizer.vocab == sorted(set(TEXT))
    (tmp_path / "out" / "input.txt").write_text("gfedcba")
    assert headscope.load(path).tokenizer.vocab == list("abcdefg")


def test_a_text_of_other_characters_is_refused(tmp_path):
    path = nanogpt.save(nanogpt.GPT(vocab_size=9), tmp_path / "ckpt.pt")
    (tmp_path / "input.txt").write_text(TEXT)
    with pytest.raises(UserError, match=r"has 9 tokens .*input\.txt has 7 .*; shakespeare_char has 65 .*") as error:
        headscope.load(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("size", [50257, 50304])
def test_byte_pairs_of_gpt2_are_refused(tmp_path, size):
    path = nanogpt.save(nanogpt.GPT(vocab_size=size, n_embd=4, n_head=1), tmp_path / "ckpt.pt")
    with pytest.raises(UserError, match="GPT-2's byte pairs"):
        headscope.load(path)


def test_a_pickle_that_runs_code_is_not_loaded(model, tmp_path):
    path = nanogpt.save(model, tmp_path / "ckpt.pt", config={"dataset": print})
    with pytest.raises(UserError, match="holds code"):
        headscope.load(path)


def test_damaged_files_give_a_message_of_one_line(tmp_path):
    whole = nanogpt.save(nanogpt.GPT(n_embd=8, n_head=1, n_layer=1), tmp_path / "ckpt.pt").read_bytes()
    rng, messages = random.Random(1), []
    for _ in range(60):
        (tmp_path / "ckpt.pt").write_bytes(mutated(whole, rng))
        try:
            loaded, _, _ = headscope.load(tmp_path / "ckpt.pt")
            loaded(torch.zeros(1, 1, dtype=torch.long))
        except UserError as e:
            messages.append(str(e))
    assert len(messages) > 30
    assert not any("\n" in line for line in messages)


@pytest.mark.parametrize(
    "changes",
    [
        {"model_args": {}},
        {"model_args": {"n_layer": 10**9, "n_head": 1, "n_embd": 10**6, "block_size": 8, "vocab_size": 65}},
        {"model_args": {"n_layer": 2, "n_head": "4", "n_embd": 32, "block_size": 16, "vocab_size": 65}},
        {"model_args": {"n_layer": 2, "n_head": 0, "n_embd": 32, "block_size": 16, "vocab_size": 65}},
        {"model_args": None},
        {"model": {}},
        {"model": {"transformer.wte.weight": torch.zeros(3)}},
        {"model": [1]},
        {"iter_num": "many"},
        {"config": 7, "iter_num": 1},
    ],
)
def test_invalid_contents_give_a_message_of_one_line(model, tmp_path, changes):
    path = nanogpt.save(model, tmp_path / "ckpt.pt", **changes)
    with pytest.raises(UserError, match=r"ckpt\.pt") as error:
        headscope.load(path)
    assert "\n" not in str(error.value)


def test_train_and_generate_read_it(tmp_path):
    """`init=` takes the vocabulary from the data, and `checkpoint=` from `input.txt`."""
    (tmp_path / "mine.txt").write_text((TEXT + "\n") * 60)
    torch.manual_seed(0)
    model = nanogpt.GPT(vocab_size=8)
    path = nanogpt.save(model, tmp_path / "ckpt.pt", config={"dataset": "mine"})
    sizes = ("model.d_model=32", "heads=h4", "model.n_layers=2", "model.block_size=16", "position=learned")
    code, output = train(
        *(f"init={path}", "data=text", f"data.path={tmp_path}/mine.txt", *sizes, "trainer.max_steps=3"),
        *("callbacks=none", "logger=none", f"hydra.run.dir={tmp_path}/run"),
    )
    assert code == 0, output
    assert isinstance(headscope.load(tmp_path / "run").tokenizer, CharTokenizer)
    done = shell("generate.py", f"checkpoint={path}", "prompt=to be", "max_new_tokens=5")
    assert done.returncode == 2
    assert "copy its training text into the same folder, as input.txt" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    (tmp_path / "input.txt").write_text(TEXT + "\n")
    done = shell("generate.py", f"checkpoint={path}", "prompt=to be", "max_new_tokens=5")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("to be")
    assert done.stderr == f"nanoGPT, trained on mine: {path}\n"
