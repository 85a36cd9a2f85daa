"""Measures what each attention head does. The functions need tensors and a model, but no Trainer.

- `look` runs a model and records its activations; `capture` records them while you call the model yourself. Both can
  change activations during the pass with `Scale` and `Replace`.
- The module `scores` measures attention maps, and the module `circuits` analyzes weights.
- `ablate` and `gradient_importance` measure how much the loss depends on a head.
- `logit_lens`, `attribute` and `patch_heads` show how layers and parts of a model contribute to its prediction.
- `describe` combines scores, circuits and ablation into a report on every head: its role and the evidence for it,
  measured on validation text and on repeated random texts.
"""

from headscope.heads.ablation import ablate, gradient_importance, losses, mean, resample, zero
from headscope.heads.attribution import attribute, logit_lens, patch_heads
from headscope.heads.capture import ActivationCache, Replace, Scale, capture, heads_at, look, positions_at
from headscope.heads.probes import predictable, repeated_probe
from headscope.heads.reports import Evidence, HeadReport, describe

Seen = ActivationCache  #: the former name of `ActivationCache`
foreseeable = predictable  #: the former name of `predictable`

__all__ = [
    "ActivationCache",
    "Evidence",
    "HeadReport",
    "Replace",
    "Scale",
    "Seen",
    "ablate",
    "attribute",
    "capture",
    "describe",
    "foreseeable",
    "gradient_importance",
    "heads_at",
    "logit_lens",
    "look",
    "losses",
    "mean",
    "patch_heads",
    "positions_at",
    "predictable",
    "repeated_probe",
    "resample",
    "zero",
]
