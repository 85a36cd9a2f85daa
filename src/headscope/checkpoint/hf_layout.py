"""Our transformers as models of the `transformers` library: names, arrangements, and what its classes lack.

Each class of theirs that computes what one of ours does is a `Family`. A part that none of them has is refused.

Shapes: T positions (block_size), C = d_model, H heads, D = C / H, V vocabulary.
"""

import re
from typing import Any

import torch
from torch import Tensor

from headscope.checkpoint.folding import behind_norm, into_values
from headscope.checkpoint.hf_families import FAMILIES, GPT2, Family, Foreign
from headscope.errors import UserError
from headscope.model.feedforward import GELU, FeedForward, SquaredReLU
from headscope.model.qk_norm import QKNorm, Unit
from headscope.model.transformer import LanguageModel, TransformerLM

FOLDED = 5e-5  #: by which an output may be off whose bias was folded

CURVES: dict[type[FeedForward], str] = {GELU: "gelu", SquaredReLU: "relu2"}  #: our classes to their names
KINDS = {"gelu": "GELU", "relu2": "SquaredReLU"}  #: theirs to the classes of ours
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
    known = [family for family in FAMILIES.values() if type(model.position) is family.position]
    fit = [f for f in known if type(model.qk_norm) is (Unit if f.normed else QKNorm)]
    if not fit:
        part = model.qk_norm if known else model.position
        train = "qk_norm=none" if known else "position=rope or position=learned"
        raise UserError(f"transformers has no counterpart of {type(part).__name__}; train with {train}, or {advice}")
    if type(model.feedforward) not in CURVES:
        raise UserError(
            f"transformers has no counterpart of {type(model.feedforward).__name__} in a {fit[0].name}; train with"
            f" feedforward=gelu or feedforward=relu2, or {advice}"
        )
    return fit[0]


@torch.no_grad()
def write(model: LanguageModel) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Their config and weights of a model that computes the same logits.

    Raises:
        UserError: see `family_of`; the bias of the head cannot be folded into the norm before it.
    """
    family = family_of(model)
    assert isinstance(model, TransformerLM)
    config: dict[str, Any] = {
        "architectures": [family.architecture],
        "model_type": family.kind,
        **{theirs: getattr(model, ours) for ours, theirs in family.sizes.items()},
        **dict.fromkeys(family.dropout, model.dropout),
        "attn_pdrop" if family is GPT2 else "attention_dropout": 0.0,
        family.curve: CURVES[type(model.feedforward)],
        family.inner: model.feedforward.up.out_features,
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
    bias = state.pop("head.bias")
    head, state["norm.bias"], off = behind_norm(state["head.weight"], bias, state["norm.weight"], state["norm.bias"])
    if not off <= FOLDED:
        raise UserError(
            "transformers has no bias in the head, and this one cannot be folded into the norm before it: a weight of"
            " that norm is zero, or close to it; use --format safetensors"
        )
    state["head.weight"] = head
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
    """The inverse of `_arranged`, for biases too."""
    if family.rotary and module.endswith("attention.qkv"):
        d = len(weight) // (3 * n_heads)
        q, k, v = weight.reshape(n_heads, 3, d, -1).unbind(1)  # (H, D, C) each
        q, k = (part.reshape(n_heads, 2, d // 2, -1).transpose(1, 2).flatten(1, 2) for part in (q, k))
        return torch.stack((q, k, v)).reshape(weight.shape)  # (3 H D, C)
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
    without_biases(found)
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
    """Their weights by our names, arranged as ours, with all their biases: see `without_biases`.

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
        found[f"{ours}.{which}"] = _arranged_back(family, ours, weight.float(), n_heads)
    if family.normed:
        for norm in ("q_layernorm", "k_layernorm"):
            for name in [n for n in found if n.endswith(f"self_attn.{norm}.weight")]:
                if not (found.pop(name) == 1).all():
                    raise Foreign(f"it has weights in {norm}, where Headscope's models have none")
            _silent(found, rf"blocks\.\d+\.self_attn\.{norm}\.bias")
    found.setdefault("head.bias", torch.zeros(len(found["embedding.weight"])))
    return found


def without_biases(found: dict[str, Tensor]) -> None:
    """Folds the biases of attention, which ours lack, into the values and into the norm before it.

    Raises:
        Foreign: one cannot be folded exactly.
    """
    for name in [name for name in found if re.fullmatch(r"blocks\.\d+\.attention\.qkv\.weight", name)]:
        at = name.removesuffix("attention.qkv.weight")
        qkv = found.pop(f"{at}attention.qkv.bias", torch.zeros(len(found[name]))).double()
        out = found.pop(f"{at}attention.out.bias", torch.zeros(1))
        more, off = into_values(found[f"{at}attention.out.weight"], out) if out.any() else (torch.zeros(1), 0.0)
        qkv[len(qkv) // 3 * 2 :] += more
        norm = found[f"{at}norm1.weight"], found[f"{at}norm1.bias"]
        found[name], found[f"{at}norm1.bias"], off2 = behind_norm(found[name], qkv, *norm)
        if not max(off, off2) <= FOLDED:
            raise Foreign(
                f"Headscope's attention has no biases, and those of {at.rstrip('.')} cannot be folded into what it has:"
                " its output projection has no inverse, or a weight of the norm before it is zero"
            )


def _silent(found: dict[str, Tensor], pattern: str) -> None:
    """Takes out biases that ours lack.

    Raises:
        Foreign: one is not zero.
    """
    for name in [name for name in found if re.fullmatch(pattern, name)]:
        if found.pop(name).any():
            raise Foreign(f"it has a bias in {name.split('.', 2)[-1]}, where Headscope's models have none")
