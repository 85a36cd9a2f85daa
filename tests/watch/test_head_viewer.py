"""Callbacks that show heads share one inspection per step, in any order, even if some of them are turned off."""

import itertools
from types import SimpleNamespace

import pytest

from headscope.run.recorder import Recorder
from headscope.watch import heads
from headscope.watch.heads import Film, Heads, Heatmaps

KINDS = (Heads, Heatmaps, Film)
CHOICES = [kinds for n in range(1, 4) for kinds in itertools.permutations(KINDS, n)]


@pytest.mark.parametrize("kinds", CHOICES, ids=lambda kinds: "-".join(kind.__name__ for kind in kinds))
def test_the_heads_are_inspected_once_per_step(kinds, monkeypatch, tmp_path):
    inspected, shown = [], []
    monkeypatch.setattr(heads, "_inspect", lambda trainer, module: inspected.append(object()) or inspected[-1])
    for kind in KINDS:
        monkeypatch.setattr(kind, "show", lambda self, trainer, module, view: shown.append((type(self), view)))
    callbacks = [kind() if kind is Heatmaps else kind(str(tmp_path)) for kind in kinds]
    trainer = SimpleNamespace(callbacks=callbacks, is_global_zero=True, max_steps=100, val_check_interval=1)
    trainer.accumulate_grad_batches, trainer.state, trainer.loggers = 1, SimpleNamespace(fn="fit"), [Recorder()]
    for step, is_drawn in ((0, True), (1, True), (99, False), (100, True)):
        inspected.clear()
        shown.clear()
        trainer.global_step = step
        for callback in callbacks:
            hook = callback.on_train_start if step == 0 else callback.on_validation_end
            hook(trainer, None)
        wanted = [kind for kind in kinds if is_drawn or kind is Heads]
        assert len(inspected) == bool(wanted)
        assert shown == [(kind, inspected[0]) for kind in wanted]
