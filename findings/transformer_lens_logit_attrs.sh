#!/usr/bin/env bash
# TransformerLens 4.3.0, TransformerBridge: direct logit attribution leaves out the weight of the final norm.
#
# Surprise: ActivationCache.logit_attrs is the documented way to split a logit into contributions. On a model opened with
# TransformerBridge.boot_transformers and not converted further, logit_attrs divides by the norm's scale but does not
# multiply by the norm's weight. The sum of the contributions then differs from the logit, without a warning; in this
# model, the sum even has the opposite sign. (HookedTransformer folded the weight into the unembedding on loading.)
#
# Why it matters here: users open our exports in TransformerLens and compare its attributions with ours.
#
# Seen with transformer-lens 4.3.0, transformers 5.24.0, torch 2.14.1, Python 3.11 on 2026-12-01:
#   logit minus the norm's bias: -0.655
#   sum of logit_attrs: 0.184
#   the same sum without the norm's weight, by hand: 0.184
source "$(dirname "$0")/common.sh"
with_packages transformer-lens==4.3.0 transformers==5.24.0 torch==2.14.1
python - 2>/dev/null <<'P'
import tempfile

import torch
from transformer_lens.model_bridge import TransformerBridge
from transformers import GPT2Config, GPT2LMHeadModel

torch.manual_seed(0)
sizes = dict(vocab_size=50, n_positions=16, n_embd=16, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0)
model = GPT2LMHeadModel(GPT2Config(**sizes)).eval()
with torch.no_grad():
    for p in model.parameters():
        p.add_(torch.randn_like(p) * 0.3)
    model.transformer.ln_f.weight.copy_(torch.rand(16) * 3 + 0.2)
folder = tempfile.mkdtemp()
model.save_pretrained(folder)
bridge = TransformerBridge.boot_transformers(folder, hf_model=model, device="cpu")
ids = torch.randint(50, (1, 8))
logits, cache = bridge.run_with_cache(ids)
assert torch.equal(logits, model(ids).logits)

token = 7
parts = cache.decompose_resid(layer=-1, pos_slice=-1)
attributed = cache.logit_attrs(parts, tokens=token, pos_slice=-1, batch_slice=0).sum().item()
x = cache["blocks.1.hook_resid_post"][0, -1]
normed = (x - x.mean()) / ((x - x.mean()).pow(2).mean() + 1e-5).sqrt()
row, norm = model.lm_head.weight[token], model.transformer.ln_f
true = (logits[0, -1, token] - norm.bias @ row).item()
unweighted = (normed @ row).item()
print(f"logit minus the norm's bias: {true:.3f}")
print(f"sum of logit_attrs: {attributed:.3f}")
print(f"the same sum without the norm's weight, by hand: {unweighted:.3f}")
assert abs(attributed - unweighted) < 1e-3
assert abs(attributed - true) > 0.1
P
