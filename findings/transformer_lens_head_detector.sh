#!/usr/bin/env bash
# TransformerLens 4.3.0, head_detector: the scale of the scores.
#
# Surprise: on random tokens that repeat once, a perfect induction head scores 0.5, not 1. The score is divided by the
# attention of all rows. This includes the rows of the first half, where no earlier copy of the token exists. A
# threshold of 0.4 is therefore 80% of the highest possible score. The option exclude_bos=True seems to fix this, but it
# divides by the attention that is not on the first token. A head with 99.9% of its attention on the first token and 0.1%
# on the induction position then scores 1.0.
#
# Why it matters here: readers compare these scores with ours, where 0 is chance and 1 is perfect.
#
# Seen with transformer-lens 4.3.0, torch 2.14.1, Python 3.11 on 2026-12-01:
#   perfect induction head: 0.500
#   perfect induction head, exclude_bos: 1.000
#   99.9% on the first token, 0.1% induction: 0.0005
#   99.9% on the first token, 0.1% induction, exclude_bos: 1.000
source "$(dirname "$0")/common.sh"
with_packages transformer-lens==4.3.0 torch==2.14.1
python - <<'P'
import torch
from transformer_lens import head_detector as detector

n = 25
half = torch.randperm(1000, generator=torch.Generator().manual_seed(0))[:n]
wanted = detector.get_induction_head_detection_pattern(torch.cat([half, half])[None])
rows = torch.arange(n, 2 * n)

perfect = torch.zeros(2 * n, 2 * n)
perfect[:n, 0] = 1
perfect[rows, rows - n + 1] = 1
resting = torch.zeros(2 * n, 2 * n)
resting[:, 0] = 1
resting[rows, 0] = 0.999
resting[rows, rows - n + 1] += 0.001


def score(pattern, exclude_bos):
    return detector.compute_head_attention_similarity_score(
        pattern, wanted, exclude_bos=exclude_bos, exclude_current_token=False, error_measure="mul"
    )


for name, pattern in (("perfect induction head", perfect), ("99.9% on the first token, 0.1% induction", resting)):
    print(f"{name}: {score(pattern, False):.4f}")
    print(f"{name}, exclude_bos: {score(pattern, True):.4f}")
assert abs(score(perfect, False) - 0.5) < 1e-3
assert score(resting, False) < 1e-3
assert score(resting, True) > 0.999
P
