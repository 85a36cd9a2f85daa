"""Export to and import from `transformers`: both libraries compute the same logits, ids and texts."""

import json
import random
import warnings
from functools import partial

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Engine

import headscope
from headscope import checkpoint
from headscope.checkpoint import export, hf_folder, hf_layout, hf_tokenizer
from headscope.data.tokenizers import EOS, PAD, BytePairTokenizer, CharTokenizer, LineTokenizer, WordTokenizer
from headscope.errors import UserError
from headscope.generation.sampling import Sampling
from headscope.generation.text import write_texts
from headscope.model.feedforward import GELU, SquaredReLU, SwiGLU
from headscope.model.mlp import FixedContextMLP
from headscope.model.position import ALiBi, Learned, Position, Rotary, Sinusoidal
from headscope.model.qk_norm import QKNorm, Unit
from headscope.model.transformer import TransformerLM
from tests.conftest import shell
from tests.inside import train
from tests.test_fuzz import mutated

with warnings.catch_warnings(action="ignore"):
    import transformers
    from transformers import GPT2LMHeadModel, GPTNeoXForCausalLM, PersimmonForCausalLM

transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
pytestmark = pytest.mark.filterwarnings("ignore")
CHARACTERS = CharTokenizer(vocab=list("\n abcdefghi"))
IDS = torch.randint(11, (3, 16), generator=torch.Generator().manual_seed(1))


def model_of(position=Rotary, feedforward=GELU, qk_norm=QKNorm, vocab_size=11, d_model=16, n_heads=2):
    """Returns a model whose parameters are all random, including biases and norms."""
    torch.manual_seed(0)
    model = TransformerLM(vocab_size, d_model, n_heads, 2, 16, 0.1, position, feedforward, qk_norm).eval()
    for p in model.parameters():
        torch.nn.init.normal_(p, std=p.shape[-1] ** -0.5 if p.ndim > 1 else 0.3)
    return model


def save(model, path, tokenizer=CHARACTERS):
    card = checkpoint.card(model, tokenizer, name="run", data={"name": "test"}, passages=[[1, 2, 3]])
    torch.save({"state_dict": {f"model.{k}": v for k, v in model.state_dict().items()}, "headscope": card}, path)
    return path


def exported(tmp_path, model, tokenizer=CHARACTERS):
    export.export_folder(save(model, tmp_path / "a.ckpt", tokenizer), tmp_path / "folder")
    return tmp_path / "folder"


def opened(folder):
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    return model, transformers.AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize(
    ("position", "feedforward", "qk_norm", "architecture"),
    [
        (Rotary, GELU, QKNorm, GPTNeoXForCausalLM),
        (partial(Rotary, base=500.0), SquaredReLU, QKNorm, GPTNeoXForCausalLM),
        (Learned, GELU, QKNorm, GPT2LMHeadModel),
        (Learned, SquaredReLU, QKNorm, GPT2LMHeadModel),
        (Rotary, SquaredReLU, Unit, PersimmonForCausalLM),
        (partial(Rotary, base=500.0), GELU, Unit, PersimmonForCausalLM),
    ],
)
def test_exported_and_imported_models_have_the_same_logits(position, feedforward, qk_norm, architecture, tmp_path):
    model = model_of(position, feedforward, qk_norm)
    folder = exported(tmp_path, model)
    theirs, tokenizer = opened(folder)
    assert type(theirs) is architecture
    with torch.inference_mode():
        torch.testing.assert_close(theirs(IDS).logits, model(IDS), atol=1e-5, rtol=1e-5)
    assert tokenizer("ab\n c")["input_ids"] == CHARACTERS.encode("ab\n c").tolist()
    assert tokenizer.decode(range(11)) == "\n abcdefghi"
    assert theirs.config.eos_token_id is None
    loaded, ours, about = headscope.load(folder)
    torch.testing.assert_close(loaded(IDS), model(IDS), atol=1e-5, rtol=1e-5)
    assert [type(p) for p in (loaded.position, loaded.feedforward, loaded.qk_norm)] == [
        type(p) for p in (model.position, model.feedforward, model.qk_norm)
    ]
    assert getattr(loaded.position, "base", None) == getattr(model.position, "base", None)
    assert (loaded.dropout, ours.vocab, type(ours)) == (0.1, CHARACTERS.vocab, CharTokenizer)
    assert (about["name"], about["data"]["name"], about["passages"]) == ("run", "test", [[1, 2, 3]])
    theirs.save_pretrained(tmp_path / "again")  # as a user saves a model after training it in transformers
    tokenizer.save_pretrained(tmp_path / "again")
    again, ours, about = headscope.load(tmp_path / "again")
    torch.testing.assert_close(again(IDS), model(IDS), atol=1e-5, rtol=1e-5)
    assert ours.vocab == CHARACTERS.vocab
    assert about["name"] == "again"


def test_a_model_trained_further_in_transformers_can_be_loaded(tmp_path):
    folder = exported(tmp_path, model_of())
    theirs, tokenizer = opened(folder)
    theirs(IDS, labels=IDS).loss.backward()
    torch.optim.SGD(theirs.parameters(), lr=0.1).step()
    theirs.save_pretrained(tmp_path / "again")
    tokenizer.save_pretrained(tmp_path / "again")
    torch.testing.assert_close(headscope.load(tmp_path / "again").model(IDS), theirs(IDS).logits, atol=1e-5, rtol=1e-5)


SIZES = {"vocab_size": 11, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
NEOX = SIZES | {"intermediate_size": 64, "max_position_embeddings": 16, "use_parallel_residual": False}
NEOX |= {"rotary_pct": 1.0}
PERSIMMON = SIZES | {"intermediate_size": 64, "max_position_embeddings": 16, "partial_rotary_factor": 1.0}
PERSIMMON |= {"hidden_act": "gelu"}
GPT2 = {"vocab_size": 11, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 16, "activation_function": "gelu"}


def foreign(kind, options, folder, silent=True):
    """Saves a model of transformers with random weights; with `silent`, the biases of attention are zero."""
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(kind, **options, bos_token_id=0, eos_token_id=None)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    for name, p in model.named_parameters():
        torch.nn.init.normal_(p, std=p.shape[-1] ** -0.5 if p.ndim > 1 else 0.3)
        if silent and "att" in name and name.endswith("bias"):
            torch.nn.init.zeros_(p)
        if name.endswith(("q_layernorm.weight", "k_layernorm.weight", "q_layernorm.bias", "k_layernorm.bias")):
            # Our norms of queries and keys have no weights and biases.
            torch.nn.init.constant_(p, name.endswith("weight"))
    model.save_pretrained(folder)
    (folder / "tokenizer.json").write_text(json.dumps(hf_tokenizer.write(CHARACTERS)))
    return model


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("gpt_neox", NEOX),
        ("gpt_neox", NEOX | {"attention_bias": False, "rotary_emb_base": 777.0}),
        ("gpt_neox", NEOX | {"tie_word_embeddings": True}),
        ("gpt2", GPT2),
        ("gpt2", GPT2 | {"tie_word_embeddings": False}),
    ],
)
def test_models_of_transformers_can_be_loaded(kind, options, tmp_path):
    theirs = foreign(kind, options, tmp_path)
    with torch.inference_mode():
        torch.testing.assert_close(headscope.load(tmp_path).model(IDS), theirs(IDS).logits, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(
            headscope.load(tmp_path / "model.safetensors").model(IDS), theirs(IDS).logits, atol=1e-5, rtol=1e-5
        )


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("gpt_neox", NEOX | {"use_parallel_residual": True}, "use_parallel_residual=True, not False"),
        ("gpt_neox", NEOX | {"rotary_pct": 0.25}, r"partial_rotary_factor=0\.25, not 1\.0"),
        ("gpt_neox", NEOX | {"hidden_act": "gelu_fast"}, "hidden_act='gelu_fast', not 'gelu' or 'relu2'"),
        ("gpt_neox", NEOX | {"intermediate_size": 48}, "intermediate_size=48, not 64"),
        ("gpt_neox", NEOX | {"layer_norm_eps": 1e-6}, "layer_norm_eps=1e-06, not 1e-05"),
        ("gpt2", GPT2 | {"activation_function": "gelu_new"}, "activation_function='gelu_new', not 'gelu'"),
        ("gpt2", GPT2 | {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx=True"),
        ("gpt_neox", NEOX | {"hidden_act": "relu2"}, r"its feedforward\.\w+\.bias is not 0"),
        ("gpt2", GPT2 | {"vocab_size": 12}, "the model has 12 tokens, but the tokenizer has 11"),
        ("gptj", {"vocab_size": 11, "n_embd": 16, "n_layer": 1, "n_head": 2, "rotary_dim": 8}, "model_type is 'gptj'"),
    ],
)
def test_models_without_a_counterpart_are_refused_with_the_difference(kind, options, message, tmp_path):
    foreign(kind, options, tmp_path)
    with pytest.raises(UserError, match=message) as error:
        headscope.load(tmp_path)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(f"{tmp_path} cannot be used: ")


@pytest.mark.parametrize(("kind", "options"), [("gpt2", GPT2), ("gpt_neox", NEOX), ("persimmon", PERSIMMON)])
def test_biases_of_attention_are_folded(kind, options, tmp_path):
    theirs = foreign(kind, options, tmp_path, silent=False)
    with torch.inference_mode():
        torch.testing.assert_close(headscope.load(tmp_path).model(IDS), theirs(IDS).logits, atol=5e-5, rtol=1e-5)


def test_biases_that_cannot_be_folded_are_refused(tmp_path):
    theirs = foreign("gpt2", GPT2, tmp_path, silent=False)
    torch.nn.init.zeros_(theirs.transformer.h[1].attn.c_proj.weight[3])
    theirs.save_pretrained(tmp_path)
    with pytest.raises(
        UserError, match=r"no biases, and the biases of blocks\.1 cannot be folded into other weights: the output"
    ):
        headscope.load(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pre_tokenizer": {"type": "Whitespace"}}, "no tokenizer of Headscope has the pre_tokenizer"),
        (
            {"added_tokens": [{"id": 0, "content": "\n", "special": True}]},
            "no tokenizer of Headscope has the added_tokens",
        ),
        ({"normalizer": {"type": "Lowercase"}}, "no tokenizer of Headscope has the normalizer"),
        (
            {"model": {"type": "WordLevel", "vocab": {"a": 0, "b": 2}, "unk_token": "<unk>"}},
            "no tokenizer of Headscope has the model",
        ),
    ],
)
def test_other_tokenizers_are_refused(changes, message, tmp_path):
    folder = exported(tmp_path, model_of())
    saved = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(saved | changes))
    with pytest.raises(UserError, match=message):
        headscope.load(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_missing_file_is_named(name, tmp_path):
    folder = exported(tmp_path, model_of())
    (folder / name).unlink()
    with pytest.raises(
        UserError, match=f"has a config.json, but no {name}; use save_pretrained for both model and tokenizer"
    ):
        headscope.load(folder)


TEXT = "to be or not to be, that is the question: 日本語 é שלום \N{GRINNING FACE}\r\n\tno\u200dway  \n\n"
KINDS = [
    CharTokenizer(vocab=sorted({*TEXT, "▁", "<", ">"})),
    LineTokenizer(vocab=sorted({*TEXT, "\x85", "\u2028", "\x1c"})),
    WordTokenizer(vocab=["\n", "to", "be", "<eos>", "##be", "▁", "日本語"]),
    WordTokenizer(vocab=["I", "love", "cats", PAD, EOS]),
    BytePairTokenizer.of([TEXT * 5], 300),
]
quick = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("tokenizer", KINDS, ids=lambda t: type(t).__name__)
def test_any_text_and_any_ids_are_the_same_in_the_tokenizers_library(tokenizer):
    engine = Engine.from_str(json.dumps(hf_tokenizer.write(tokenizer)))
    letters = st.sampled_from(sorted({c for token in tokenizer.vocab for c in token} | set(" \n\t\x1c\x85\u3000")))
    words = st.sampled_from(tokenizer.vocab)
    anything = st.text() if isinstance(tokenizer, BytePairTokenizer) else st.text(letters)
    texts = anything | st.lists(words | st.sampled_from([" ", "\n", "\x1c", "\u2003"])).map("".join)

    @quick
    @given(texts)
    def read(text):
        try:
            ids = tokenizer.encode(text).tolist()
        except UserError:
            with pytest.raises(Exception, match="UNK"):
                engine.encode(text)
            return
        assert engine.encode(text).ids == ids
        assert engine.decode(ids, skip_special_tokens=False) == hf_tokenizer.spaced(tokenizer, tokenizer.decode(ids))

    @quick
    @given(st.lists(st.integers(0, len(tokenizer) - 1)))
    def written(ids):
        assert engine.decode(ids, skip_special_tokens=False) == hf_tokenizer.spaced(tokenizer, tokenizer.decode(ids))

    read()
    written()


@pytest.mark.parametrize("tokenizer", KINDS, ids=lambda t: type(t).__name__)
def test_every_tokenizer_can_be_loaded_again(tokenizer, tmp_path):
    model = model_of(vocab_size=len(tokenizer), d_model=4 * len(tokenizer))
    folder = exported(tmp_path, model, tokenizer)
    back = headscope.load(folder).tokenizer
    assert type(back) is type(tokenizer)
    assert back.arguments == tokenizer.arguments
    _, theirs = opened(folder)
    if not isinstance(tokenizer, WordTokenizer):
        text = TEXT * 2
        assert theirs(text)["input_ids"] == tokenizer.encode(text).tolist()
        assert theirs.decode(theirs(text)["input_ids"]) == text
    theirs.save_pretrained(folder)
    back = headscope.load(folder).tokenizer
    assert (type(back), back.arguments) == (type(tokenizer), tokenizer.arguments)


WORDS = WordTokenizer(vocab=["\n", "I", "love", "cats", PAD, EOS])
NAMES = LineTokenizer(vocab=CHARACTERS.vocab)


def opened_with(tokenizer, tmp_path):
    """A folder that was exported with a tokenizer, and the model and the tokenizer in it."""
    folder = exported(tmp_path, model_of(vocab_size=len(tokenizer)), tokenizer)
    return folder, *opened(folder)


@pytest.mark.parametrize(
    ("tokenizer", "texts", "special"),
    [(WORDS, ["I love", "I"], {PAD, EOS}), (NAMES, ["\nabc", "\na"], {"\n"})],
    ids=["words", "lines"],
)
def test_a_batch_is_padded_and_generates_what_each_text_generates(tokenizer, texts, special, tmp_path):
    folder, model, theirs = opened_with(tokenizer, tmp_path)
    assert set(theirs.all_special_tokens) == special
    batch = theirs(texts, return_tensors="pt", padding=True)
    assert batch["attention_mask"].sum(1).tolist() == [len(tokenizer.encode(text)) for text in texts]
    options = {"do_sample": False, "max_new_tokens": 5}
    found = theirs.batch_decode(model.generate(**batch, **options), skip_special_tokens=True)
    for text, both in zip(texts, found, strict=True):
        alone = model.generate(**theirs(text, return_tensors="pt"), **options)
        assert both == theirs.decode(alone[0], skip_special_tokens=True)
    theirs.save_pretrained(folder)  # with a padding strategy and with special tokens
    assert headscope.load(folder).tokenizer.arguments == tokenizer.arguments


@pytest.mark.parametrize(
    ("tokenizer", "text", "decoded"),
    [(WORDS, f"I love {EOS} {PAD}", " I love"), (NAMES, "\nabc\n", "abc"), (CHARACTERS, "\nab c\n", "\nab c\n")],
    ids=["words", "lines", "text"],
)
def test_special_tokens_are_skipped_and_others_kept(tokenizer, text, decoded, tmp_path):
    _, _, theirs = opened_with(tokenizer, tmp_path)
    assert theirs.decode(theirs(text)["input_ids"], skip_special_tokens=True) == decoded


@pytest.mark.parametrize(
    ("tokenizer", "prompt"),
    [(WORDS, "I love"), (WORDS, "I\nlove"), (NAMES, "\nab"), (CHARACTERS, "ab c"), (KINDS[-1], "to be")],
    ids=["words", "words and lines", "lines", "text", "byte pairs"],
)
def test_a_pipeline_continues_the_prompt(tokenizer, prompt, tmp_path):
    """The new tokens are decoded alone, and appended to the prompt."""
    _, model, theirs = opened_with(tokenizer, tmp_path)
    pipeline = transformers.pipeline("text-generation", model=model, tokenizer=theirs)
    (found,) = pipeline(prompt, do_sample=False, max_new_tokens=6)
    ids = model.generate(**theirs(prompt, return_tensors="pt"), do_sample=False, max_new_tokens=6)[0].tolist()
    kept = [i for i in ids[len(tokenizer.encode(prompt)) :] if tokenizer.vocab[i] not in theirs.all_special_tokens]
    whole = tokenizer.decode([*tokenizer.encode(prompt).tolist(), *kept])
    assert found["generated_text"] == whole


def test_an_earlier_export_of_words_is_still_loaded(tmp_path):
    folder, _, _ = opened_with(WORDS, tmp_path)
    saved = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(saved | {"decoder": hf_tokenizer.OLD_SPACES}))
    assert headscope.load(folder).tokenizer.vocab == WORDS.vocab


@pytest.mark.parametrize("position", [Rotary, Learned])
def test_transformers_generates_the_same_text(position, tmp_path):
    model = model_of(position)
    theirs, tokenizer = opened(exported(tmp_path, model))
    (pieces,) = write_texts(model, CHARACTERS, "ab", 12, Sampling(temperature=0.0), [torch.Generator()])
    prompt = tokenizer("ab", return_tensors="pt")
    ids = theirs.generate(**prompt, do_sample=False, max_new_tokens=12)
    assert tokenizer.decode(ids[0]) == "".join(pieces)


def test_transformers_generates_whole_lines(tmp_path):
    lines = LineTokenizer(vocab=CHARACTERS.vocab)
    theirs, tokenizer = opened(exported(tmp_path, model_of(), lines))
    torch.manual_seed(0)
    found = theirs.generate(do_sample=True, max_new_tokens=15, num_return_sequences=20, pad_token_id=0)
    assert found.shape[1] <= 16
    for text in tokenizer.batch_decode(found):
        assert text.startswith("\n")
        assert "\n" not in text[1:].rstrip("\n")


def dead_norm():
    model = model_of()
    torch.nn.init.zeros_(model.norm.weight)
    return model


@pytest.mark.parametrize(
    ("model", "named"),
    [
        (model_of(Sinusoidal), "no counterpart to Sinusoidal; train with position=rope or position=learned"),
        (model_of(ALiBi), "no counterpart to ALiBi"),
        (model_of(Position), "no counterpart to Position"),
        (model_of(Rotary, SwiGLU), "no counterpart to SwiGLU; train with feedforward=gelu"),
        (model_of(Learned, GELU, Unit), "no counterpart to Unit; train with qk_norm=none"),
        (FixedContextMLP(11, 3, 4, 16, 12), "no counterpart to FixedContextMLP"),
        (dead_norm(), "cannot be folded into the norm before it: a weight of that norm is zero"),
    ],
)
def test_a_refused_export_names_the_part_and_writes_nothing(model, named, tmp_path):
    save(model, tmp_path / "a.ckpt")
    with pytest.raises(UserError, match=named) as error:
        export.export_folder(tmp_path / "a.ckpt", tmp_path / "out")
    assert "\n" not in str(error.value)
    assert "--format safetensors" in str(error.value)
    assert [p.name for p in tmp_path.iterdir()] == ["a.ckpt"]


def test_a_vocabulary_larger_than_the_width_can_be_exported(tmp_path):
    model = model_of(d_model=8)
    theirs, _ = opened(exported(tmp_path, model))
    with torch.inference_mode():
        torch.testing.assert_close(theirs(IDS).logits, model(IDS), atol=1e-5, rtol=1e-5)


def test_without_a_bias_in_the_head_weights_are_exported_unchanged():
    model = model_of()
    torch.nn.init.zeros_(model.head.bias)
    config, weights = hf_layout.write(model)
    assert config["tie_word_embeddings"] is False
    assert torch.equal(weights["gpt_neox.final_layer_norm.bias"], model.norm.bias)
    assert torch.equal(weights["embed_out.weight"], model.head.weight)


def test_without_transformers_headscope_checks_the_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(hf_folder, "find_spec", lambda name: None)
    report = export.export_folder(save(model_of(), tmp_path / "a.ckpt"), tmp_path / "out")
    assert "loaded in Headscope, it gives the model's logits within" in report
    assert report.endswith("; install transformers to check the folder with it too")
    assert opened(tmp_path / "out")[0].config.use_parallel_residual is False


def wrong_logits(folder):
    name, logits, tokenizer = open_with_transformers(folder)
    return name, lambda ids: logits(ids) + 2e-4, tokenizer


def wrong_ids(folder):
    name, logits, tokenizer = open_with_transformers(folder)
    encode = tokenizer.encode
    tokenizer.encode = lambda text: [*encode(text), 0]
    return name, logits, tokenizer


open_with_transformers = hf_folder.open_with_transformers


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (wrong_logits, r"loaded in transformers \S+, .* by 0\.0002, and at most 0\.0001 is allowed"),
        (wrong_ids, r"nothing was written: loaded in transformers \S+, the exported tokenizer gives other ids"),
    ],
)
def test_a_folder_that_transformers_reads_differently_is_not_written(wrong, message, tmp_path, monkeypatch):
    monkeypatch.setattr(hf_folder, "open_with_transformers", wrong)
    save(model_of(), tmp_path / "a.ckpt")
    with pytest.raises(UserError, match=message):
        export.export_folder(tmp_path / "a.ckpt", tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["a.ckpt"]


def test_damaged_folders_give_a_message_of_one_line(tmp_path):
    folder = exported(tmp_path, model_of())
    whole = {name: (folder / name).read_bytes() for name in ("config.json", "tokenizer.json", "model.safetensors")}
    rng, messages = random.Random(1), []
    for _ in range(90):
        name = rng.choice(list(whole))
        (folder / name).write_bytes(mutated(whole[name], rng))
        try:
            headscope.load(folder).model(torch.zeros(1, 1, dtype=torch.long))
        except UserError as e:
            messages.append(str(e))
        (folder / name).write_bytes(whole[name])
    assert len(messages) > 30
    assert not any("\n" in line for line in messages)


@pytest.mark.parametrize(
    "changes",
    [
        {"num_hidden_layers": 10**9},
        {"hidden_size": 10**9},
        {"max_position_embeddings": 10**12},
        {"num_attention_heads": 0},
        {"num_attention_heads": "2"},
        {"num_attention_heads": 3},
        {"rope_parameters": [1]},
        {"rope_parameters": {"rope_type": "yarn"}},
        {"rope_parameters": {"rope_theta": "far"}},
        {"model_type": ["gpt2"]},
        {"model_type": "gpt2"},
        {"vocab_size": None},
        {"hidden_dropout": 7},
    ],
)
def test_invalid_configs_give_a_message_of_one_line(changes, tmp_path):
    folder = exported(tmp_path, model_of())
    saved = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(saved | changes))
    with pytest.raises(UserError) as error:
        headscope.load(folder)
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_export_generate_and_train_use_such_a_folder(tmp_path):
    save(model_of(), tmp_path / "a.ckpt")
    save(model_of(Sinusoidal), tmp_path / "b.ckpt")
    out = tmp_path / "out"
    done = shell("-m", "headscope.checkpoint", tmp_path / "a.ckpt", out, "--format", "hf")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "a GPT-NeoX for transformers; loaded in transformers" in done.stdout
    assert {p.name for p in out.iterdir()} == {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    done = shell("-m", "headscope.checkpoint", tmp_path / "b.ckpt", tmp_path / "other", "--format", "hf")
    assert done.returncode == 2
    assert "no counterpart to Sinusoidal" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "other").exists()
    done = shell("generate.py", f"checkpoint={out}", "prompt=ab", "max_new_tokens=5")
    assert done.returncode == 0, done.stderr
    assert done.stderr == f"run, trained on test: {out}\n"
    (tmp_path / "text.txt").write_text("abc def\n" * 60)
    sizes = ("model.d_model=16", "heads=h2", "model.n_layers=2", "model.block_size=16", "position=rope")
    code, output = train(
        *(f"init={out}", "data=text", f"data.path={tmp_path}/text.txt", *sizes, "trainer.max_steps=2"),
        *("callbacks=none", "logger=none", f"hydra.run.dir={tmp_path}/run"),
    )
    assert code == 0, output
