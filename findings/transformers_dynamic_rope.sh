#!/usr/bin/env bash
# transformers 5.24.0: by how much rope_type "dynamic" stretches positions.
#
# Surprise: the documentation describes "dynamic" NTK scaling as adapting to the current length. If a text is s times as
# long as the trained context, we would expect a stretch by s. Instead, the stretch is factor · s - (factor - 1). With
# the usual factor: 4, it is 5 for a text twice as long, and 13 for a text four times as long. Only factor: 1 gives s.
#
# Why it matters here: "ntk" in our comparisons of lengths stretches by s (the static rule of bloc97, 2023). The two
# methods have the same name but differ.
#
# Seen with transformers 5.24.0, torch 2.14.1, Python 3.11 on 2026-12-01:
#   factor 1: 1, 2 and 4 times the trained length stretch by 1.0, 2.0, 4.0
#   factor 4: 1, 2 and 4 times the trained length stretch by 1.0, 5.0, 13.0
source "$(dirname "$0")/common.sh"
with_packages transformers==5.24.0 torch==2.14.1
python - 2>/dev/null <<'P'
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

WIDTH, TRAINED, BASE = 64, 128, 10000.0


def stretch(factor, times):
    """The NTK factor a in base · a^(d/(d-2)), read off the second frequency."""
    config = LlamaConfig(hidden_size=WIDTH, num_attention_heads=1, max_position_embeddings=TRAINED)
    config.rope_parameters = {"rope_type": "dynamic", "factor": factor, "rope_theta": BASE}
    frequencies, _ = ROPE_INIT_FUNCTIONS["dynamic"](config, "cpu", seq_len=TRAINED * times)
    base = frequencies[1].item() ** (-WIDTH / 2)
    return (base / BASE) ** ((WIDTH - 2) / WIDTH)


for factor in (1.0, 4.0):
    found = [stretch(factor, times) for times in (1, 2, 4)]
    print(f"factor {factor:.0f}: 1, 2 and 4 times the trained length stretch by " + ", ".join(f"{a:.1f}" for a in found))
    for times, a in zip((1, 2, 4), found):
        assert abs(a - (factor * times - (factor - 1))) < 1e-3
P
