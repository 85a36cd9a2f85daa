"""Converts config and weights between our transformers and the model classes of the `transformers` library.

If one side lacks a bias that the other has, the bias is folded into other weights. A layer norm returns γ ⊙ z + β,
where the channels of z sum to zero. Adding u (1/γ)ᵀ to the matrix W after the norm changes W (γ ⊙ z) by u times the sum
of z, which is zero for any u. If β' replaces β, the constant part of the output becomes W β' + u (1/γ)ᵀ β'. The choice
of u can make this part equal to any constant.

Shapes: T positions (block_size), C = d_model, H heads, D = C / H, V vocabulary, M rows of a matrix.
"""

import re
from reprlib import repr  # shortens long values
from typing import Any

import torch
from torch import Tensor

from headscope.checkpoint.hf_families import ACTIVATIONS, FAMILIES, ROPE, Family, family_of, options_of, sizes_of
from headscope.checkpoint.source import OURS, SIZES, UnsupportedModel, rename
from headscope.checkpoint.weights import plain_weights
from headscope.errors import UserError
from headscope.model.qk_norm import QKNorm
from headscope.model.transformer import LanguageModel, TransformerLM

TOLERANCE = 5e-5  #: the largest allowed error of an output whose bias was folded into other weights

#: Names of buffers that older versions of transformers saved; newer versions compute them from the config.
BUFFERS = re.compile(r".*\.(attn|attention)\.(bias|masked_bias|rotary_emb\.inv_freq)")


@torch.no_grad()
def write(model: LanguageModel) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Returns config and weights of a transformers model that computes the same logits.

    Raises UserError as `family_of` does, or if the bias of the unembedding cannot be folded into the norm.
    """
    family = family_of(model)
    assert isinstance(model, TransformerLM)
    state = model.state_dict()
    bias = state.pop("head.bias")
    head, norm_bias, error = fold_into_norm(state["head.weight"], bias, state["norm.weight"], state["norm.bias"])
    if not error <= TOLERANCE:
        raise UserError(
            "transformers has no bias in the unembedding, and this one cannot be folded into the norm before it:"
            " a weight of that norm is zero, or close to it; use --format safetensors"
        )
    state |= {"head.weight": head, "norm.bias": norm_bias}
    config = _config(family, model, width=len(state["blocks.0.feedforward.up.weight"]))
    for name in [name for name in state if name.startswith("blocks.") and name.endswith(".weight")]:
        state.setdefault(f"{name.removesuffix('weight')}bias", torch.zeros(len(state[name])))
    state = {name: _rearrange(family, name, weight, model.n_heads) for name, weight in state.items()}
    weights = rename(state, OURS, family)
    if family.qk_norm is not QKNorm:
        width = model.d_model // model.n_heads
        for norm in [f"{family.blocks}{i}.self_attn.{x}_layernorm" for i in range(model.n_layers) for x in "qk"]:
            weights |= {f"{norm}.weight": torch.ones(width), f"{norm}.bias": torch.zeros(width)}
    return config, {name: weight.float().contiguous() for name, weight in weights.items()}


def _config(family: Family, model: TransformerLM, width: int) -> dict[str, Any]:
    """Returns config.json of an exported model, with each RoPE option under its older and its newer name."""
    activation = next(name for name, kind in ACTIVATIONS.items() if kind is type(model.feedforward))
    config: dict[str, Any] = {
        "architectures": [family.architecture],
        "model_type": family.model_type,
        **{option: getattr(model, ours) for ours, option in zip(SIZES, family.sizes, strict=True)},
        **dict.fromkeys(family.dropout, model.dropout),
        family.attention_dropout: 0.0,
        family.activation: activation,
        family.width: width,
        **family.required,
        "tie_word_embeddings": False,
        "dtype": "float32",
        "torch_dtype": "float32",  # the name in older versions
    }
    if family.rope_options:
        rope = {"rope_theta": model.position.base, **ROPE}
        config |= {older: rope[option] for option, older in family.rope_options.items()}
        config["rope_parameters"] = rope
    return config


def _rearrange(family: Family, name: str, weight: Tensor, n_heads: int) -> Tensor:
    """Returns one of our weights or biases, arranged as in transformers.

    With RoPE, the rows of q, k and v are grouped by head, and the first channels of all rotated pairs precede the
    second channels. GPT-2's matrices are transposed.
    """
    if family.rope_options and ".attention.qkv." in name:
        q, k, v = weight.reshape(3, n_heads, len(weight) // (6 * n_heads), 2, -1)  # (H, D/2, 2, C) each
        parts = (q.transpose(1, 2), k.transpose(1, 2), v)
        return torch.stack([part.flatten(1, 2) for part in parts], 1).reshape(weight.shape)  # (H 3 D, C)
    return weight.T if family.transposed and weight.ndim == 2 and name.startswith("blocks.") else weight


def _rearrange_back(family: Family, name: str, weight: Tensor, n_heads: int) -> Tensor:
    """The inverse of `_rearrange`."""
    if family.rope_options and ".attention.qkv." in name:
        q, k, v = weight.reshape(n_heads, 3, len(weight) // (3 * n_heads), -1).unbind(1)  # (H, D, C) each
        q, k = (part.reshape(n_heads, 2, part.shape[1] // 2, -1).transpose(1, 2).flatten(1, 2) for part in (q, k))
        return torch.stack((q, k, v)).reshape(weight.shape)  # (3 H D, C)
    return _rearrange(family, name, weight, n_heads).contiguous()


def read(config: dict[str, Any], weights: dict[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Returns our description of a transformers model (`model` in a card), and its weights under our names.

    Raises UnsupportedModel if no model of ours computes the same; the message names the difference.
    """
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        raise UnsupportedModel(f"the model_type is {repr(model_type)}; Headscope reads {', '.join(FAMILIES)}")
    family = FAMILIES[model_type]
    options = options_of(family, config)
    sizes = sizes_of(family, options)
    width = 4 * sizes["d_model"]
    required = {**family.required, **(ROPE if family.rope_options else {})}
    differences = [f"{k}={repr(options.get(k))}, not {v!r}" for k, v in required.items() if options.get(k) != v]
    activation = options[family.activation]
    if not isinstance(activation, str) or activation not in ACTIVATIONS:
        differences.append(f"{family.activation}={repr(activation)}, not {' or '.join(map(repr, ACTIVATIONS))}")
    if options[family.width] not in (width, None):
        differences.append(f"{family.width}={repr(options[family.width])}, not {width}")
    if differences:
        raise UnsupportedModel(f"Headscope has no such model: the config has {'; '.join(differences)}")
    ours = rename_weights(family, weights, sizes["n_heads"])
    if options.get("tie_word_embeddings") and "head.weight" not in ours:
        ours["head.weight"] = ours["embedding.weight"].clone()
    fold_attention_biases(ours)
    if activation == "relu2":
        _remove(ours, r"blocks\.\d+\.feedforward\.\w+\.bias", 0)
    base = {"base": options["rope_theta"]} if family.rope_options else {}
    description = {
        "class": "TransformerLM",
        **sizes,
        "dropout": options.get(family.dropout[0], 0.0),
        "position": {"class": family.position.__name__} | base,
        "feedforward": {"class": ACTIVATIONS[activation].__name__},
        "qk_norm": {"class": family.qk_norm.__name__},
    }
    return description, ours


def rename_weights(family: Family, weights: dict[str, Tensor], n_heads: int) -> dict[str, Tensor]:
    """Returns a family's weights under our names and in our arrangement, still with the attention biases."""
    weights = plain_weights({name: weight for name, weight in weights.items() if not BUFFERS.fullmatch(name)})
    head = family.outer[2]
    theirs = {re.sub(r"^lm_head\b", head, name): weight.float() for name, weight in weights.items()}  # newer versions
    ours = rename(theirs, family, OURS)
    ours = {name: _rearrange_back(family, name, weight, n_heads) for name, weight in ours.items()}
    if family.qk_norm is not QKNorm:
        _remove(ours, r".*\.[qk]_layernorm\.weight", 1)
        _remove(ours, r".*\.[qk]_layernorm\.bias", 0)
    ours.setdefault("head.bias", torch.zeros(len(ours["embedding.weight"])))
    return ours


def fold_attention_biases(weights: dict[str, Tensor]) -> None:
    """Removes attention biases, which our models lack, and changes other weights so that the output stays the same.

    Raises UnsupportedModel if this is not possible.
    """
    for name in [name for name in weights if re.fullmatch(r"blocks\.\d+\.attention\.qkv\.weight", name)]:
        block = name.removesuffix(".attention.qkv.weight")
        qkv = weights.pop(f"{block}.attention.qkv.bias", torch.zeros(len(weights[name]))).double()
        out = weights.pop(f"{block}.attention.out.bias", torch.zeros(1))
        values, out_error = fold_into_values(weights[f"{block}.attention.out.weight"], out)
        qkv[len(qkv) // 3 * 2 :] += values
        norm = weights[f"{block}.norm1.weight"], weights[f"{block}.norm1.bias"]
        weights[name], weights[f"{block}.norm1.bias"], qkv_error = fold_into_norm(weights[name], qkv, *norm)
        if not max(out_error, qkv_error) <= TOLERANCE:
            raise UnsupportedModel(
                f"Headscope's attention has no biases, and the biases of {block} cannot be folded into other weights:"
                " the output projection has no inverse, or a weight of the norm before the attention is zero"
            )


def _remove(weights: dict[str, Tensor], pattern: str, value: int) -> None:
    """Removes weights that our models lack, or raises UnsupportedModel if they differ from the neutral value."""
    for name in [name for name in weights if re.fullmatch(pattern, name)]:
        if not (weights.pop(name) == value).all():
            weight = name.split(".", 2)[-1]
            raise UnsupportedModel(f"its {weight} is not {value}, and Headscope's models have no such weight")


def fold_into_norm(w: Tensor, b: Tensor, gamma: Tensor, beta: Tensor) -> tuple[Tensor, Tensor, float]:
    """Returns W' (M, C) and β' (C,), so that W' (γ ⊙ z + β') = W (γ ⊙ z + β) + b for every normalised z.

    Both are in fp32. The third value is the error of an output for a typical z; it is NaN if γ has a zero. If b is
    zero, W and β are returned unchanged.
    """
    if not b.any():
        return w, beta, 0.0
    w64, b64, gamma, beta = (t.double() for t in (w, b, gamma, beta))
    sign = torch.where((beta / gamma).sum() < 0, -1.0, 1.0)  # makes the absolute value of (1/γ)ᵀ β' at least C
    new_beta = beta + sign * gamma
    u = (b64 - sign * (w64 @ gamma)) / (new_beta / gamma).sum()  # (M,)
    new_w, new_beta = (w64 + u[:, None] / gamma).float(), new_beta.float()
    error_of_constant = (new_w.double() @ new_beta.double() - w64 @ beta - b64).abs().max()
    error_of_matrix = ((new_w.double() - w64) * gamma - u[:, None]).norm(dim=1).max()  # for z of variance one
    return new_w, new_beta, float(error_of_constant + error_of_matrix)


def fold_into_values(out: Tensor, b: Tensor) -> tuple[Tensor, float]:
    """Returns the bias of the values that replaces a bias b (C,) of the output projection (C, C).

    Both biases have the same effect, because attention weights sum to one. The second value is the largest error of an
    output. This error is large or NaN if b is not zero and the projection has no inverse.
    """
    if not b.any():
        return torch.zeros(len(out)), 0.0
    matrix, wanted = out.double(), b.double()
    values, _ = torch.linalg.solve_ex(matrix, wanted)
    return values, float((matrix @ values - wanted).abs().max())
