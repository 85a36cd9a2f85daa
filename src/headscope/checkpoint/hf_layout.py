"""Our transformers as models of the `transformers` library: names, arrangements, and what its classes lack.

Each class of theirs that computes what one of ours does is a `Family`. A part that none of them has is refused.

Shapes: T positions (block_size), C = d_model, H heads, D = C / H, V vocabulary.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor

from headscope.errors import UserError
from headscope.model.made_of import Curve
from headscope.model.position import Learned, Position, Rotary
from headscope.model.transformer import LanguageModel, TransformerLM

EPS = 1e-5  #: under the root of every variance, in all our models
FOLDED = 5e-5  #: nats by which a logit may be off for a bias that was folded

#: Our names, by what `FeedForward.made_of` says, to theirs.
CURVES: dict[Curve, str] = {"gelu": "gelu", "squared relu": "relu2"}
KINDS = {"gelu": "GELU", "relu2": "SquaredReLU"}  #: theirs to the classes of ours


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
#: Their tables that are computed, kept in files of older versions.
COMPUTED = re.compile(r".*\.(attn|attention)\.(bias|masked_bias|rotary_emb\.inv_freq)")


def family_of(model: LanguageModel) -> Family:
    """Their class for a model.

    Raises:
        UserError: they have none; the line names the part.
    """
    advice = "use --format safetensors, which holds every model"
    if not isinstance(model, TransformerLM):
        raise UserError(f"transformers has no counterpart of {type(model).__name__}; {advice}")
    normed = model.qk_norm.made_of()
    known = [family for family in FAMILIES.values() if type(model.position) is family.position]
    fit = [f for f in known if normed is not None and normed.eps == (EPS if f.normed else None)]
    if not fit:
        part = model.qk_norm if known else model.position
        train = "qk_norm=none" if known else "position=rope or position=learned"
        raise UserError(f"transformers has no counterpart of {type(part).__name__}; train with {train}, or {advice}")
    between = model.feedforward.made_of()
    if between is None or between.gate is not None or between.curve not in CURVES:
        raise UserError(
            f"transformers has no counterpart of {type(model.feedforward).__name__} in a {fit[0].name}; train with"
            f" feedforward=gelu or feedforward=relu2, or {advice}"
        )
    return fit[0]


@torch.no_grad()
def write(model: LanguageModel) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Their config and weights of a model that computes the same logits.

    Raises:
        UserError: see `family_of`; the bias of the head cannot be folded.
    """
    family = family_of(model)
    assert isinstance(model, TransformerLM)
    between = model.feedforward.made_of()
    assert between is not None
    config: dict[str, Any] = {
        "architectures": [family.architecture],
        "model_type": family.kind,
        **{theirs: getattr(model, ours) for ours, theirs in family.sizes.items()},
        **dict.fromkeys(family.dropout, model.dropout),
        "attn_pdrop" if family is GPT2 else "attention_dropout": 0.0,
        family.curve: CURVES[between.curve],
        family.inner: len(between.up),
        **{k: v for k, v in family.wanted.items() if k not in ("rope_type", "partial_rotary_factor")},
        "tie_word_embeddings": False,
        "dtype": "float32",
        "torch_dtype": "float32",  # the same to older versions
    }
    if family.rotary:
        rope = {"rope_theta": model.position.base, "partial_rotary_factor": 1.0}
        config |= {older: rope[key] for key, older in family.rotary.items()}
        config["rope_parameters"] = rope | {"rope_type": "default"}
    state = model.state_dict()
    state["norm.bias"] = _folded(model)
    del state["head.bias"]
    weights = {}
    for name, weight in state.items():
        module, _, which = name.rpartition(".")
        weights[f"{_theirs(family, module)}.{which}"] = _arranged(family, module, weight, model.n_heads)
    for block in range(model.n_layers):
        for module in ("attention.qkv", "attention.out", "feedforward.up", "feedforward.down"):
            ours = f"blocks.{block}.{module}"
            missing = f"{_theirs(family, ours)}.bias"
            if missing not in weights:
                weights[missing] = torch.zeros(len(state[f"{ours}.weight"]))
        if family.normed:
            for norm in ("q_layernorm", "k_layernorm"):
                width = model.d_model // model.n_heads
                weights[f"{family.layers}{block}.self_attn.{norm}.weight"] = torch.ones(width)
                weights[f"{family.layers}{block}.self_attn.{norm}.bias"] = torch.zeros(width)
    return config, {name: weight.float().contiguous() for name, weight in weights.items()}


def _folded(model: TransformerLM) -> Tensor:
    """The last norm's bias (C,) that does the work of the head's: W (n γ + β') = W (n γ + β) + b if W (β' - β) = b.

    Exact where b is in the column space of W (V, C): for any b if W has V independent rows, so V ≤ C.

    Raises:
        UserError: it is not.
    """
    w, b, beta = (t.double() for t in (model.head.weight, model.head.bias, model.norm.bias))
    change = torch.linalg.lstsq(w, b[:, None], driver="gelsd").solution[:, 0]
    found = (beta + change).float()
    off = (w @ (found.double() - beta) - b).abs().max().item()
    if not off <= FOLDED:
        v, c = w.shape
        wider = f"model.d_model={v} or more" if v > c else "another seed or fewer steps"
        raise UserError(
            f"transformers has no bias in the head, and this one cannot be folded into the norm before it (a logit of"
            f" the {v:,} would be off by {off:.2g}, from {c} channels); train with {wider}, or use --format safetensors"
        )
    return cast(Tensor, found)


def _theirs(family: Family, module: str) -> str:
    if module.startswith("blocks."):
        _, layer, rest = module.split(".", 2)
        return f"{family.layers}{layer}.{family.inside[rest]}"
    return family.outside[module]


def _arranged(family: Family, module: str, weight: Tensor, n_heads: int) -> Tensor:
    """A weight of ours as theirs: turned where matrices are (in, out), head after head and pairs in halves."""
    if family.rotary and module.endswith("attention.qkv"):
        parts = weight.view(3, n_heads, -1, 2, weight.shape[-1])  # (3, H, D/2, 2, C)
        q, k = (part.transpose(1, 2).flatten(1, 2) for part in parts[:2])  # (H, D, C) each, the first of pairs first
        return torch.stack((q, k, parts[2].flatten(1, 2)), 1).flatten(0, 2)  # (H 3 D, C)
    return weight.T if family.by_columns and weight.ndim == 2 and module.startswith("blocks.") else weight


def _arranged_back(family: Family, module: str, weight: Tensor, n_heads: int) -> Tensor:
    """The inverse of `_arranged`."""
    if family.rotary and module.endswith("attention.qkv"):
        d, c = weight.shape[0] // (3 * n_heads), weight.shape[-1]
        q, k, v = weight.view(n_heads, 3, d, c).unbind(1)  # (H, D, C) each
        q, k = (part.view(n_heads, 2, d // 2, c).transpose(1, 2).flatten(1, 2) for part in (q, k))
        return torch.stack((q, k, v)).flatten(0, 2)  # (3 H D, C)
    return weight.T.contiguous() if family.by_columns and weight.ndim == 2 and module.startswith("blocks.") else weight


def read(config: dict[str, Any], weights: dict[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Our description and weights from theirs.

    Raises:
        Foreign: it computes what no model of ours does; the line names the difference.
    """
    kind = config.get("model_type")
    if kind not in FAMILIES:
        raise Foreign(f"its model_type is {kind!r}, and those that Headscope knows are {', '.join(FAMILIES)}")
    family = FAMILIES[kind]
    said = _said(family, config)
    sizes = {ours: said[theirs] for ours, theirs in family.sizes.items()}
    wide = 4 * sizes["d_model"]
    differs = [f"{k}={said.get(k)!r}, not {v!r}" for k, v in family.wanted.items() if said.get(k) != v]
    if said[family.curve] not in KINDS:
        differs.append(f"{family.curve}={said[family.curve]!r}, not {' or '.join(map(repr, KINDS))}")
    if said[family.inner] not in (wide, None):
        differs.append(f"{family.inner}={said[family.inner]}, not {wide}")
    if differs:
        raise Foreign(f"it is no model of Headscope's: it has {'; '.join(differs)}")
    found = ours_of(family, weights, sizes["n_heads"])
    if said["tie_word_embeddings"] and "head.weight" not in found:
        found["head.weight"] = found["embedding.weight"].clone()
    described = {
        "class": "TransformerLM",
        **sizes,
        "dropout": float(said.get(family.dropout[0], 0.0)),
        "position": family.position_of | ({"base": float(said["rope_theta"])} if family.rotary else {}),
        "feedforward": {"class": KINDS[said[family.curve]]},
        "qk_norm": {"class": "Unit" if family.normed else "QKNorm"},
    }
    if described["feedforward"]["class"] == "SquaredReLU":
        _silent(found, r"blocks\.\d+\.feedforward\.\w+\.bias")
    return described, found


def _said(family: Family, config: dict[str, Any]) -> dict[str, Any]:
    """Every option that matters, by its newest name; those that the file leaves out as they would be taken."""
    said = dict(family.otherwise) | config
    if family.rotary:
        rope = config.get("rope_parameters") or {}
        scaling = config.get("rope_scaling")
        said["rope_type"] = "default" if not scaling else str(scaling)
        said["rope_theta"] = config.get(family.rotary["rope_theta"], 10000.0)
        older = family.rotary["partial_rotary_factor"]
        said["partial_rotary_factor"] = config.get(older, family.otherwise["partial_rotary_factor"])
        said |= rope
    return said


def ours_of(family: Family, weights: dict[str, Tensor], n_heads: int) -> dict[str, Tensor]:
    """Their weights by our names, arranged as ours.

    Raises:
        Foreign: it has weights that ours have no place for.
    """
    modules = {theirs: ours for ours, theirs in family.outside.items()} | {"lm_head": "head"}  # a newer name
    inside = {theirs: ours for ours, theirs in family.inside.items()}
    found = {}
    for name, weight in weights.items():
        if COMPUTED.fullmatch(name):
            continue
        module, _, which = name.rpartition(".")
        if module.startswith(family.layers):
            layer, _, rest = module.removeprefix(family.layers).partition(".")
            ours = f"blocks.{layer}.{inside.get(rest, rest)}"
        else:
            ours = modules.get(module, module)
        if which == "weight":
            weight = _arranged_back(family, ours, weight.float(), n_heads)
        found[f"{ours}.{which}"] = weight.float()
    if family.normed:
        for norm in ("q_layernorm", "k_layernorm"):
            for name in [n for n in found if n.endswith(f"self_attn.{norm}.weight")]:
                if not (found.pop(name) == 1).all():
                    raise Foreign(f"it has weights in {norm}, where Headscope's models have none")
            _silent(found, rf"blocks\.\d+\.self_attn\.{norm}\.bias")
    _silent(found, r"blocks\.\d+\.attention\.\w+\.bias")
    found.setdefault("head.bias", torch.zeros(len(found["embedding.weight"])))
    return found


def _silent(found: dict[str, Tensor], pattern: str) -> None:
    """Takes out biases that ours lack.

    Raises:
        Foreign: one is not zero.
    """
    for name in [name for name in found if re.fullmatch(pattern, name)]:
        if found.pop(name).any():
            raise Foreign(f"it has a bias in {name.split('.', 2)[-1]}, where Headscope's models have none")
