"""What each attention head does. Takes tensors and a model, no Trainer.

- `look` runs a model and records its activations; `capture` does the same around your own call of the model. Both can
  change activations during the pass with `Scale` and `Replace`.
- `scores` reads attention maps, and `circuits` reads weights.
- `ablate` and `gradient_importance` measure how much the loss depends on a head.
- `describe` combines these into a report on every head: its role and the evidence for it, measured on validation text
  and on the random repeated text of `repeated_probe`.
"""

from headscope.heads.ablation import ablate, gradient_importance, losses, mean, resample, zero
from headscope.heads.activation_cache import ActivationCache
from headscope.heads.capture import Replace, Scale, capture, look
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
    "capture",
    "describe",
    "foreseeable",
    "gradient_importance",
    "look",
    "losses",
    "mean",
    "repeated_probe",
    "resample",
    "zero",
]
