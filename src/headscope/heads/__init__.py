"""What a head does. Takes tensors and a model, no Trainer.

`capture` and `look` see inside a forward pass and change it there (`Scale`, `Replace`); `scores` reads attention maps,
`circuits` weights; `ablate`, `ablation_importance` and `gradient_importance` measure what a head is worth. `describe`
puts them together: a report on every head, with its role and the evidence for it, on a passage of text and on
`repeated_probe`.
"""

from headscope.heads.ablation import ablate, ablation_importance, gradient_importance, losses, mean, resample, zero
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
    "ablation_importance",
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
