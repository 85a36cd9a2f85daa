"""Classes of the `transformers` library that compute what our transformers do: their names, sizes and options.

Shapes: T positions (block_size), C = d_model.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headscope.errors import UserError
from headscope.model.position import Learned, Position, Rotary

EPS = 1e-5  #: under the root of every variance, in all our models


class Foreign(UserError):
    """Another program's model that computes what none of ours does. Its message goes on from the file's name."""


@dataclass(frozen=True)
class Family:
    """A class of theirs: what it calls our parts, and which of its options make it compute what ours does."""

    kind: str  #: their model_type
    name: str  #: as people say it
    architecture: str
    position: type[Position]
    position_of: dict[str, Any]  #: our description of it, beside its base
    layers: str  #: before the number of a layer
    outside: Mapping[str, str]  #: our modules to theirs, outside the blocks
    inside: Mapping[str, str]  #: and inside each block
    sizes: Mapping[str, str]  #: our arguments to their options
    dropout: tuple[str, ...]  #: their options that are ours
    curve: str  #: their option for what the feed-forward bends by
    inner: str  #: their option for its width
    wanted: Mapping[str, Any]  #: options that must be so
    otherwise: Mapping[str, Any]  #: what they take where a file does not say
    by_columns: bool = False  #: their matrices are (in, out)
    rotary: Mapping[str, str] = field(default_factory=dict)  #: older names of the options of rotary positions
    normed: bool = False  #: queries and keys have a norm


GPT2 = Family(
    kind="gpt2",
    name="GPT-2",
    architecture="GPT2LMHeadModel",
    position=Learned,
    position_of={"class": "Learned"},
    layers="transformer.h.",
    outside={
        "embedding": "transformer.wte",
        "position.vectors": "transformer.wpe",
        "norm": "transformer.ln_f",
        "head": "lm_head",
    },
    inside={
        "norm1": "ln_1",
        "attention.qkv": "attn.c_attn",
        "attention.out": "attn.c_proj",
        "norm2": "ln_2",
        "feedforward.up": "mlp.c_fc",
        "feedforward.down": "mlp.c_proj",
    },
    sizes={
        "vocab_size": "vocab_size",
        "d_model": "n_embd",
        "n_heads": "n_head",
        "n_layers": "n_layer",
        "block_size": "n_positions",
    },
    dropout=("resid_pdrop", "embd_pdrop"),
    curve="activation_function",
    inner="n_inner",
    wanted={
        "layer_norm_epsilon": EPS,
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
        "add_cross_attention": False,
    },
    otherwise={
        "activation_function": "gelu_new",
        "n_inner": None,
        "layer_norm_epsilon": EPS,
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
        "add_cross_attention": False,
        "tie_word_embeddings": True,
    },
    by_columns=True,
)
_ROTARY: dict[str, Any] = {
    "position": Rotary,
    "position_of": {"class": "Rotary"},
    "sizes": {
        "vocab_size": "vocab_size",
        "d_model": "hidden_size",
        "n_heads": "num_attention_heads",
        "n_layers": "num_hidden_layers",
        "block_size": "max_position_embeddings",
    },
    "dropout": ("hidden_dropout",),
    "curve": "hidden_act",
    "inner": "intermediate_size",
}
NEOX = Family(
    kind="gpt_neox",
    name="GPT-NeoX",
    architecture="GPTNeoXForCausalLM",
    layers="gpt_neox.layers.",
    outside={"embedding": "gpt_neox.embed_in", "norm": "gpt_neox.final_layer_norm", "head": "embed_out"},
    inside={
        "norm1": "input_layernorm",
        "attention.qkv": "attention.query_key_value",
        "attention.out": "attention.dense",
        "norm2": "post_attention_layernorm",
        "feedforward.up": "mlp.dense_h_to_4h",
        "feedforward.down": "mlp.dense_4h_to_h",
    },
    wanted={
        "layer_norm_eps": EPS,
        "use_parallel_residual": False,
        "partial_rotary_factor": 1.0,
        "rope_type": "default",
    },
    otherwise={
        "hidden_act": "gelu",
        "intermediate_size": 24576,
        "layer_norm_eps": EPS,
        "use_parallel_residual": True,
        "tie_word_embeddings": False,
        "partial_rotary_factor": 0.25,
    },
    rotary={"rope_theta": "rotary_emb_base", "partial_rotary_factor": "rotary_pct"},
    **_ROTARY,
)
PERSIMMON = Family(
    kind="persimmon",
    name="Persimmon",
    architecture="PersimmonForCausalLM",
    layers="model.layers.",
    outside={"embedding": "model.embed_tokens", "norm": "model.final_layernorm", "head": "lm_head"},
    inside=dict(NEOX.inside) | {"attention.qkv": "self_attn.query_key_value", "attention.out": "self_attn.dense"},
    wanted={"layer_norm_eps": EPS, "qk_layernorm": True, "partial_rotary_factor": 1.0, "rope_type": "default"},
    otherwise={
        "hidden_act": "relu2",
        "intermediate_size": 16384,
        "layer_norm_eps": EPS,
        "qk_layernorm": True,
        "tie_word_embeddings": False,
        "partial_rotary_factor": 0.5,
    },
    rotary={"rope_theta": "rope_theta", "partial_rotary_factor": "partial_rotary_factor"},
    normed=True,
    **_ROTARY,
)
FAMILIES = {family.kind: family for family in (GPT2, NEOX, PERSIMMON)}
