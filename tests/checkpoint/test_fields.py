"""The fields of a file are checked as a config is: a value that a config cannot have is refused in one line."""

import json

import pytest
import torch

import headscope
from headscope import checkpoint
from headscope.annotations import invalid_value
from headscope.checkpoint import export
from headscope.data.tokenizers import CharTokenizer
from headscope.errors import UserError
from headscope.model.mlp import FixedContextMLP
from headscope.model.position import Learned, Rotary
from headscope.model.position.biases import T5
from tests.checkpoint import nanogpt
from tests.conftest import small

TOKENIZER = CharTokenizer(vocab=list("\nabcdefghij"))
PASSAGES = [[1, 2, 3, 4], [5, 6, 7, 8]]


def save(path, scheme=Rotary, tokenizer=None, about=None, **model):
    """A checkpoint whose card has changed entries."""
    built = small(scheme)
    card = checkpoint.card(built, TOKENIZER, name="run", data={"name": "test"}, passages=PASSAGES)
    card["model"] |= model
    card["tokenizer"] |= tokenizer or {}
    card["about"] = card["about"] | about if about else card["about"]
    torch.save({"state_dict": {f"model.{k}": v for k, v in built.state_dict().items()}, "headscope": card}, path)
    return path


def refusal(path):
    with pytest.raises(UserError) as error:
        headscope.load(path).model  # noqa: B018
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600
    return str(error.value).removeprefix(f"{path} ")


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"n_heads": -1}, "model.n_heads=-1 must be at least 1"),
        ({"n_heads": 2.0}, "model.n_heads=2.0 must be an integer"),
        ({"n_heads": True}, "model.n_heads=true must be an integer"),
        ({"block_size": 0}, "model.block_size=0 must be at least 1"),
        ({"block_size": 2**64}, "model.block_size=18446744073709551616 must be between -2^63 and 2^63"),
        ({"dropout": float("nan")}, "model.dropout=NaN must be a finite number"),
        ({"dropout": 1.0}, "model.dropout=1.0 must be below 1"),
        ({"dropout": "0.1"}, "model.dropout=0.1 must be a number"),
        ({"vocab_size": None}, "model.vocab_size=null must be an integer"),
        ({"n_layers": [2]}, "model.n_layers=[2] must be an integer"),
        ({"width": 2}, "there is no key model.width"),
        ({"position": {"class": "Rotary", "base": 0}}, "model.position.base=0 must be above 0"),
        ({"position": {"class": "Rotary", "base": float("inf")}}, "model.position.base=Infinity must be a finite"),
    ],
)
def test_a_field_of_the_model_is_checked(field, message, tmp_path):
    assert f"cannot be used: {message}" in refusal(save(tmp_path / "a.ckpt", **field))


@pytest.mark.parametrize("distance", [10**399, 2**63, 3, 200.5], ids=["400 digits", "64 bits", "3", "200.5"])
def test_an_option_of_a_scheme_is_checked(distance, tmp_path):
    path = save(tmp_path / "a.ckpt", T5, position={"class": "T5", "buckets": 32, "max_distance": distance})
    assert "model.position.max_distance=" in refusal(path)


@pytest.mark.parametrize(
    ("tokenizer", "message"),
    [
        ({"class": "Tokenizer"}, "tokenizer: Tokenizer is a base class, which does not implement"),
        ({"vocab": "abcdefghijk"}, "tokenizer.vocab=abcdefghijk must be a list"),
        ({"vocab": [1, *"abcdefghij"]}, "tokenizer.vocab[0]=1 must be text"),
        ({"merges": ["a b"]}, "there is no key tokenizer.merges"),
    ],
)
def test_a_field_of_the_tokenizer_is_checked(tokenizer, message, tmp_path):
    assert message in refusal(save(tmp_path / "a.ckpt", tokenizer=tokenizer))


def test_a_base_class_is_not_a_feed_forward(tmp_path):
    assert "model.feedforward: FeedForward is a base class, which does not implement activation" in refusal(
        save(tmp_path / "a.ckpt", feedforward={"class": "FeedForward"})
    )


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"passages": "text"}, "about.passages=text must be a list"),
        ({"passages": [["a", "b"]]}, "about.passages[0][0]=a must be an integer"),
        ({"passages": [[1, 2, 11]]}, "about.passages[0][2]=11 must be below 11"),
        ({"passages": [[1, -2]]}, "about.passages[0][1]=-2 must be at least 0"),
        ({"passages": [[1, 2], [3]]}, "about.passages has texts of different lengths"),
        ({"passages": [[]]}, "about.passages[0]=[] must be a list of at least 1"),
        ({"passages": [[1] * 5000] * 2}, "about.passages[0]=[1, 1, 1"),
        ({"passages": [[1] * 1000] * 2000}, "about has more than 1,000,000 entries"),
        ({"name": 5}, "about.name=5 must be text"),
        ({"step": -1}, "about.step=-1 must be at least 0"),
        ({"step": 2.5}, "about.step=2.5 must be an integer"),
        ({"data": "text"}, "about.data=text must be a mapping"),
        ({"data": {"name": None}}, "about.data.name=null must be text"),
    ],
)
def test_a_record_of_the_run_is_checked(about, message, tmp_path):
    assert f"cannot be used: {message}" in refusal(save(tmp_path / "a.ckpt", about=about))


def test_a_record_that_contains_itself_is_refused(tmp_path):
    config = {}
    config["config"] = config
    assert "about has more than" in refusal(save(tmp_path / "a.ckpt", about={"config": config}))


@pytest.mark.parametrize("about", [{}, {"data": {}}, None])
def test_an_empty_record_gets_names(about, tmp_path):
    path = save(tmp_path / "a.ckpt")
    saved = torch.load(path, weights_only=True)
    card = {k: v for k, v in saved["headscope"].items() if k != "about"}
    torch.save(saved | {"headscope": card if about is None else card | {"about": about}}, path)
    found = headscope.load(path).about
    assert found == {"name": "a run without a name", "data": {"name": "an unknown text"}}


CONFIGS = [
    ({"num_attention_heads": -1}, "num_attention_heads=-1 must be at least 1"),
    ({"num_attention_heads": 2.0}, "num_attention_heads=2.0 must be an integer"),
    ({"num_attention_heads": 0}, "num_attention_heads=0 must be at least 1"),
    ({"num_hidden_layers": "2"}, "num_hidden_layers=2 must be an integer"),
    ({"hidden_size": None}, "hidden_size=null must be an integer"),
    ({"max_position_embeddings": 10**300}, "max_position_embeddings=1000"),
    ({"hidden_dropout": float("nan")}, "model.dropout=NaN must be a finite number"),
    ({"hidden_dropout": "0.1"}, "model.dropout=0.1 must be a number"),
    ({"rope_parameters": {"rope_theta": -1.0, "partial_rotary_factor": 1.0}}, "model.position.base=-1.0 must be above"),
    ({"rope_parameters": {"rope_theta": 10**400, "partial_rotary_factor": 1.0}}, "model.position.base=1000"),
    ({"model_type": ["gpt2"]}, "the model_type is ['gpt2']"),
    ({"hidden_act": ["gelu"] * 10**5}, "the config has hidden_act=['gelu', 'gelu'"),
]


@pytest.mark.parametrize(("changes", "message"), CONFIGS, ids=lambda x: str(x)[:40])
def test_the_config_of_a_transformers_folder_is_checked(changes, message, tmp_path):
    export.export_folder(save(tmp_path / "a.ckpt"), tmp_path / "folder")
    config = tmp_path / "folder" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | changes))
    assert message in refusal(tmp_path / "folder")


def test_a_record_in_a_transformers_folder_is_checked(tmp_path):
    from safetensors.torch import load_file, save_file

    export.export_folder(save(tmp_path / "a.ckpt"), tmp_path / "folder")
    path = tmp_path / "folder" / "model.safetensors"
    about = json.dumps({"name": "x", "data": {"name": "y"}, "passages": [[99]]})
    save_file(load_file(path), path, {"format": "pt", "headscope_about": about})
    assert "about.passages[0][0]=99 must be below 11" in refusal(tmp_path / "folder")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_head": -1}, "n_head=-1 must be at least 1"),
        ({"n_head": 2.0}, "n_head=2.0 must be an integer"),
        ({"block_size": 0}, "block_size=0 must be at least 1"),
        ({"n_layer": 10**400}, "n_layer=1000"),
        ({"dropout": float("nan")}, "model.dropout=NaN must be a finite number"),
        ({"dropout": "0.1"}, "model.dropout=0.1 must be a number"),
    ],
)
def test_the_arguments_in_a_nanogpt_file_are_checked(changes, message, tmp_path):
    model = nanogpt.GPT(n_embd=8, n_layer=1)
    path = nanogpt.save(model, tmp_path / "ckpt.pt", model_args=model.args | changes)
    assert f"cannot be used: {message}" in refusal(path)


@pytest.mark.parametrize("number", [-1, 2.5, "many", None, 10**30])
def test_the_step_in_a_nanogpt_file_is_checked(number, tmp_path):
    path = nanogpt.save(nanogpt.GPT(n_embd=8, n_layer=1), tmp_path / "ckpt.pt", iter_num=number)
    assert "about.step=" in refusal(path)


@pytest.mark.parametrize(("field", "value"), [("n_heads", 0), ("n_layers", "2"), ("dropout", -1.0), ("d_model", 16.0)])
def test_the_sizes_in_a_file_of_part_4_are_checked(field, value, tmp_path):
    from headscope.model.position import Sinusoidal

    (tmp_path / "a.pt").write_bytes(export.export(save(tmp_path / "a.ckpt", Sinusoidal), "part4"))
    saved = torch.load(tmp_path / "a.pt", weights_only=True)
    torch.save(saved | {"model_config": saved["model_config"] | {field: value}}, tmp_path / "a.pt")
    assert f"{field}=" in refusal(tmp_path / "a.pt")


def test_learned_positions_of_another_length_are_still_refused(tmp_path):
    assert "damaged" in refusal(save(tmp_path / "a.ckpt", Learned, block_size=17))


def doubled(times=22, element=0):
    """A list with 2^times elements, which takes little memory; with the 30 of a hostile file, no test would end."""
    shared = [element]
    for _ in range(times):
        shared = [shared, shared]
    return shared


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dropout": doubled()}, "model has more than 1,000,000 entries"),
        ({"tokenizer": {"vocab": doubled()}}, "tokenizer has more than 1,000,000 entries"),
        ({"about": {"config": doubled()}}, "about has more than 1,000,000 entries"),
    ],
)
def test_shared_lists_are_counted_each_time(changes, message, tmp_path):
    assert f"cannot be used: {message}" in refusal(save(tmp_path / "a.ckpt", **changes))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("model_args", "model has more than 1,000,000 entries"),
        ("config", "the model has 65 tokens but no vocabulary"),  # the list in `dataset` is not read
    ],
)
def test_shared_lists_of_nanogpt_are_counted_each_time_or_not_read(name, message, tmp_path):
    model = nanogpt.GPT(n_embd=8, n_layer=1)
    content = model.args | {"dataset": doubled(), "dropout": doubled()}
    path = nanogpt.save(model, tmp_path / "ckpt.pt", **{name: content})
    assert message in refusal(path)


def test_an_invalid_value_is_written_only_as_far_as_it_is_shown():
    written = []
    element = type("Element", (), {"__str__": lambda self: written.append(1) or "element"})()
    assert len(str(invalid_value("key", doubled(12, element), "text"))) < 300
    assert len(written) < 100


@pytest.mark.parametrize(
    "changes",
    [
        {"a\nerror: forged": 1},
        {"a" * 10**6: 1},
        {"\u202ea\u2028": 1},
        {"class": "A\nerror: forged"},
        {"class": "A" * 10**6},
        {"position": {"class": "A" * 10**6, "module": "headscope_" + "a" * 10**6}},
        {"dropout": "a\u2028\u202e"},
    ],
    ids=lambda changes: ascii(changes)[:30],
)
def test_names_in_a_card_are_shown_as_one_short_line(changes, tmp_path):
    message = refusal(save(tmp_path / "a.ckpt", **changes))
    assert message.isprintable()
    assert len(message) < 500


def test_the_windows_of_a_fixed_context_are_limited(tmp_path):
    built = FixedContextMLP(len(TOKENIZER), 1 << 15, 1, 1, 1 << 14)
    card = checkpoint.card(built, TOKENIZER)
    weights = {f"model.{k}": v for k, v in built.state_dict().items()}
    torch.save({"state_dict": weights, "headscope": card}, tmp_path / "a.ckpt")
    assert "context × d_model × block_size is 536,870,912, but at most" in refusal(tmp_path / "a.ckpt")
