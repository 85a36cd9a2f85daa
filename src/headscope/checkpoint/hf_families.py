"""Model classes of the `transformers` library that compute the same as `TransformerLM`, one `Family` each.

A family has transformers' names for our modules, and for our sizes in the order of `source.SIZES`.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from headscope.checkpoint.source import SIZES, Names, UnsupportedModel, checked
from headscope.errors import UserError
from headscope.model.feedforward import GELU, FeedForward, SquaredReLU
from headscope.model.position import Learned, Position, Rotary
from headscope.model.qk_norm import QKNorm, Unit
from headscope.model.transformer import LanguageModel, TransformerLM

#: Our feed-forward networks, by transformers' names for their activation functions.
ACTIVATIONS: dict[str, type[FeedForward]] = {"gelu": GELU, "relu2": SquaredReLU}
EPS = 1e-5  #: added to every variance in our layer norms
ROPE = {"partial_rotary_factor": 1.0, "rope_type": "default"}  #: required options of rotary positions


@dataclass(frozen=True)
class Family(Names):
    """A model class of transformers, and the options with which it computes the same as `TransformerLM`."""

    model_type: str  #: its name in config.json
    name: str  #: its name in messages
    architecture: str  #: name of the Python class
    position: type[Position]
    sizes: tuple[str, ...]  #: names of the options for SIZES
    dropout: tuple[str, ...]  #: names of the options for our dropout; only the first is read
    attention_dropout: str  #: name of the option for dropout of attention weights, which our models lack
    activation: str  #: name of the option for the activation of the feed-forward network
    width: str  #: name of the option for the width of the feed-forward network
    required: Mapping[str, Any]  #: options that must have these values
    defaults: Mapping[str, Any]  #: values of options that config.json omits; the defaults of others are in `required`
    rope_options: Mapping[str, str] = field(default_factory=dict)  #: older name of each option in `rope_parameters`
    qk_norm: type[QKNorm] = QKNorm
    transposed: bool = False  #: whether matrices are (in, out), the transpose of those in PyTorch's linear layers


GPT2 = Family(
    model_type="gpt2",
    name="GPT-2",
    architecture="GPT2LMHeadModel",
    position=Learned,
    sizes=("vocab_size", "n_embd", "n_head", "n_layer", "n_positions"),
    outer=("transformer.wte", "transformer.ln_f", "lm_head", "transformer.wpe"),
    blocks="transformer.h.",
    inner=("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj"),
    dropout=("resid_pdrop", "embd_pdrop"),
    attention_dropout="attn_pdrop",
    activation="activation_function",
    width="n_inner",
    required={
        "layer_norm_epsilon": EPS,
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
        "add_cross_attention": False,
    },
    defaults={"activation_function": "gelu_new", "n_inner": None, "tie_word_embeddings": True},
    transposed=True,
)
NEOX = Family(
    model_type="gpt_neox",
    name="GPT-NeoX",
    architecture="GPTNeoXForCausalLM",
    position=Rotary,
    sizes=("vocab_size", "hidden_size", "num_attention_heads", "num_hidden_layers", "max_position_embeddings"),
    outer=("gpt_neox.embed_in", "gpt_neox.final_layer_norm", "embed_out"),
    blocks="gpt_neox.layers.",
    inner=(
        *("input_layernorm", "attention.query_key_value", "attention.dense"),
        *("post_attention_layernorm", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h"),
    ),
    dropout=("hidden_dropout",),
    attention_dropout="attention_dropout",
    activation="hidden_act",
    width="intermediate_size",
    required={"layer_norm_eps": EPS, "use_parallel_residual": False},
    defaults={
        "hidden_act": "gelu",
        "intermediate_size": 24576,
        "use_parallel_residual": True,
        "partial_rotary_factor": 0.25,
    },
    rope_options={"rope_theta": "rotary_emb_base", "partial_rotary_factor": "rotary_pct"},
)
PERSIMMON = replace(
    NEOX,
    model_type="persimmon",
    name="Persimmon",
    architecture="PersimmonForCausalLM",
    outer=("model.embed_tokens", "model.final_layernorm", "lm_head"),
    blocks="model.layers.",
    inner=tuple(name.replace("attention.", "self_attn.") for name in NEOX.inner),
    required={"layer_norm_eps": EPS, "qk_layernorm": True},
    defaults={"hidden_act": "relu2", "intermediate_size": 16384, "partial_rotary_factor": 0.5},
    rope_options={"rope_theta": "rope_theta", "partial_rotary_factor": "partial_rotary_factor"},
    qk_norm=Unit,
)
FAMILIES = {family.model_type: family for family in (GPT2, NEOX, PERSIMMON)}


def family_of(model: LanguageModel) -> Family:
    """Returns the family that computes the same as a model; raises UserError if there is none."""
    advice = "use --format safetensors, which can hold every model"
    if not isinstance(model, TransformerLM):
        raise UserError(f"transformers has no counterpart to {type(model).__name__}; {advice}")
    families = [family for family in FAMILIES.values() if family.position is type(model.position)]
    for part, possible, option in (
        (model.position, [family.position for family in families], "position=rope or position=learned"),
        (model.qk_norm, [family.qk_norm for family in families], "qk_norm=none"),
        (model.feedforward, ACTIVATIONS.values(), "feedforward=gelu or feedforward=relu2"),
    ):
        if type(part) not in possible:
            name = type(part).__name__
            raise UserError(f"transformers has no counterpart to {name}; train with {option}, or {advice}")
    return next(family for family in families if family.qk_norm is type(model.qk_norm))


def options_of(family: Family, config: dict[str, Any]) -> dict[str, Any]:
    """Returns the options of config.json under their newest names, with defaults for the omitted ones."""
    options = {**family.required, **family.defaults, **config}
    if family.rope_options:
        scaling, older = config.get("rope_scaling"), family.rope_options
        default = family.defaults["partial_rotary_factor"]
        options["rope_type"] = "default" if not scaling else str(scaling)
        options["rope_theta"] = config.get(older["rope_theta"], 10000.0)
        options["partial_rotary_factor"] = config.get(older["partial_rotary_factor"], default)
        options |= config.get("rope_parameters") or {}
    return options


def sizes_of(family: Family, options: dict[str, Any]) -> dict[str, int]:
    """Returns the sizes of a model under our names; raises UnsupportedModel if one is missing or out of range."""
    annotations = inspect.signature(TransformerLM).parameters
    sizes = {}
    for ours, option in zip(SIZES, family.sizes, strict=True):
        if option not in options:
            raise UnsupportedModel(f"the config has no {option}")
        sizes[ours] = checked(options[option], annotations[ours].annotation, option)
    return sizes
