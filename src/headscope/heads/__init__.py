"""What each attention head does. Takes tensors and a model, no Trainer.

- `look` runs a model and records its activations; `capture` does the same around your own call of the model. Both can
  change activations during the pass with `Scale` and `Replace`.
- `scores` reads attention maps, and `circuits` reads weights.
- `ablate` and `gradient_importance` measure how much the loss depends on a head.
- `logit_lens`, `attribute` and `patch_heads` split the prediction of a model by layers and parts.
- `describe` combines scores, circuits and ablation in a report on every head: its role and the evidence for it,
  measured on validation text and on random repeated texts.
"""

from headscope.heads.ablation import ablate, gradient_importance, losses, mean, resample, zero
from headscope.heads.attribution import attribute, logit_lens, patch_heads
from headscope.heads.capture import ActivationCache, Replace, Scale, capture, heads_at, look, positions_at
from headscope.heads.probes import foreseeable, repeated_probe
from headscope.heads.reports import Evidence, HeadReport, describe

Seen = ActivationCache  #: its former name

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
    "repeated_probe",
    "resample",
    "zero",
]
