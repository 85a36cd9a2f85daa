"""Finds out what each attention head does. All functions take tensors and a model, without a Trainer.

- `look` runs a model and records its activations; `capture` records them while you call the model yourself. Both can
  change activations during the pass with `Scale` and `Replace`.
- The module `scores` measures attention maps, and the module `circuits` analyzes weights.
- `ablate` and `gradient_importance` measure how much the loss depends on a head.
- `logit_lens`, `attribute` and `patch_heads` split a model's prediction by layers and parts.
- `describe` combines scores, circuits and ablation into a report on every head: its role and the evidence for it,
  measured on validation text and on repeated random texts.
"""

from headscope.heads.ablation import ablate, gradient_importance, losses, mean, resample, zero
from headscope.heads.attribution import attribute, logit_lens, patch_heads
from headscope.heads.capture import ActivationCache, Replace, Scale, capture, heads_at, look, positions_at
from headscope.heads.probes import predictable, repeated_probe
from headscope.heads.reports import Evidence, HeadReport, describe

Seen = ActivationCache  #: former name of the class
foreseeable = predictable  #: former name of the function

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
