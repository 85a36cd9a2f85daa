"""What one process does at each signal, and the signals in the documentation."""

import json
import os
import re
import signal
import threading

import pytest
from lightning.pytorch.trainer.connectors.signal_connector import _SignalConnector

from headscope.run.checkpoints import SignalCheckpoint
from headscope.run.processes import outcome
from headscope.run.signals import STOP, handlers_restored, stop_signals
from headscope.training.module import LanguageModule
from tests.conftest import ROOT
from tests.inside import train

TINY = (
    *("data=pydoc", "model.n_layers=1", "model.d_model=32", "model.n_heads=2", "model.block_size=16"),
    *("trainer=cpu", "trainer.max_steps=8", "trainer.val_check_interval=4", "trainer.threads=1"),
    *("callbacks=none", "logger=none"),
)


@pytest.fixture(autouse=True)
def default_actions():
    """The actions of a process that nothing has prepared, whoever started these tests."""
    with handlers_restored():
        for name in STOP:
            signal.signal(getattr(signal, name), signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        yield


def send_at(monkeypatch, step, action):
    """Calls `action` at the end of a step."""
    end = LanguageModule.on_train_batch_end

    def and_send(self, *args):
        end(self, *args)
        if self.trainer.global_step == step:
            action()

    monkeypatch.setattr(LanguageModule, "on_train_batch_end", and_send)


def weights_are_equal(a, b):
    import torch

    one, two = (torch.load(f / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"] for f in (a, b))
    return all(torch.equal(one[name], two[name]) for name in one | two)


@pytest.mark.parametrize("name", STOP)
def test_a_signal_saves_a_checkpoint_from_which_the_run_continues(name, tmp_path, monkeypatch):
    signum, folder = getattr(signal, name), tmp_path / "run"
    with monkeypatch.context() as patched:
        send_at(patched, 5, lambda: os.kill(os.getpid(), signum))
        code, printed = train(*TINY, f"hydra.run.dir={folder}")
    assert code == 128 + signum
    assert f"stopped by {name}; the checkpoint is saved; continue with resume={folder}" in printed
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["status"], summary["steps"]) == ("interrupted", 5)
    assert signal.getsignal(signum) in (signal.SIG_DFL, signal.default_int_handler), "the handlers are restored"
    assert train(f"resume={folder}")[0] == 0
    assert train(*TINY, f"hydra.run.dir={tmp_path}/undisturbed")[0] == 0
    assert weights_are_equal(folder, tmp_path / "undisturbed")


def test_a_signal_before_the_first_step_saves_a_checkpoint_too(tmp_path, monkeypatch):
    """The processes are connected, and no step has been made."""
    listen = SignalCheckpoint.setup

    def and_send(self, trainer, module, stage):
        listen(self, trainer, module, stage)
        os.kill(os.getpid(), signal.SIGUSR1)

    with monkeypatch.context() as patched:
        patched.setattr(SignalCheckpoint, "setup", and_send)
        assert train(*TINY, f"hydra.run.dir={tmp_path}/run")[0] == 128 + signal.SIGUSR1
    assert train(f"resume={tmp_path}/run")[0] == 0
    assert train(*TINY, f"hydra.run.dir={tmp_path}/undisturbed")[0] == 0
    assert weights_are_equal(tmp_path / "run", tmp_path / "undisturbed")


def test_a_second_signal_while_the_first_is_handled_changes_nothing(tmp_path, monkeypatch):
    """torchrun sends Ctrl-C again to processes that the terminal has already stopped."""
    teardown = LanguageModule.teardown
    monkeypatch.setattr(
        LanguageModule, "teardown", lambda self, stage: (os.kill(os.getpid(), signal.SIGINT), teardown(self, stage))
    )
    send_at(monkeypatch, 5, lambda: os.kill(os.getpid(), signal.SIGINT))
    code, printed = train(*TINY, f"hydra.run.dir={tmp_path}")
    assert (code, "stopped by SIGINT; the checkpoint is saved" in printed) == (130, True)
    assert json.loads((tmp_path / "summary.json").read_text())["status"] == "interrupted"


def test_ctrl_c_while_lightning_prepares_the_run_ends_it_with_130(tmp_path, monkeypatch):
    """Lightning would exit with 1 and ignore all later signals."""

    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(LanguageModule, "configure_model", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(*TINY, f"hydra.run.dir={tmp_path}/run")
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler


@pytest.mark.parametrize("hook", ["setup", "validation_step", "on_validation_epoch_end"])
def test_ctrl_c_ends_a_validation_with_130(hook, tmp_path, monkeypatch):
    assert train(*TINY, f"hydra.run.dir={tmp_path}/run")[0] == 0
    monkeypatch.setattr(LanguageModule, hook, lambda *_, **__: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt) as stopped:
        train(*TINY, "task=validate", f"checkpoint={tmp_path}/run", f"hydra.run.dir={tmp_path}/v")
    assert outcome(stopped.value) == (130, "interrupted")
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler


def test_lightning_sets_no_handlers(tmp_path, monkeypatch):
    """Its method is private: this fails first if it changes."""
    assert callable(_SignalConnector.register_signal_handlers)
    monkeypatch.setattr(_SignalConnector, "_register_signal", lambda *_: pytest.fail("Lightning sets a handler"))
    found = {}
    send_at(monkeypatch, 2, lambda: found.update({name: signal.getsignal(getattr(signal, name)) for name in STOP}))
    assert train(*TINY, "trainer.max_steps=4", f"hydra.run.dir={tmp_path}/run")[0] == 0
    assert {handler.__func__ for handler in found.values()} == {SignalCheckpoint._remember}


@pytest.mark.parametrize("name", [name for name in STOP if name not in ("SIGINT", "SIGTERM")])
@pytest.mark.parametrize("action", [signal.SIG_IGN, lambda *_: None], ids=["ignored", "handled"])
def test_other_programs_keep_what_they_ignore_or_handle(name, action):
    """`nohup` ignores SIGHUP, and submitit handles SIGUSR2."""
    signum = getattr(signal, name)
    assert signum in stop_signals()
    signal.signal(signum, action)
    assert signum not in stop_signals()


def test_only_the_main_thread_sets_handlers():
    thread = threading.Thread(target=SignalCheckpoint(None).setup, args=(None, None, "fit"))
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_the_documentation_has_the_same_signals():
    text = (ROOT / "docs" / "CLUSTER.md").read_text()
    rows = re.findall(r"^\| (SIG\w+) \| .* \| (.*) \|$", text, re.M)
    assert [name for name, action in rows if action == "save and stop"] == list(STOP)
