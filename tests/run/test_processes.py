"""Processes of a run end together; platforms without the needed functions."""

import inspect

from lightning.pytorch.strategies.launchers import subprocess_script

from tests.conftest import shell

WITHOUT_POSIX = """
import importlib, os, pkgutil, signal, sys
import lightning, matplotlib, optuna, tensorboard, torch, torch._dynamo  # they look at the platform's name
for module, names in ((os, ("killpg", "getpgid", "setsid", "fork")), (signal, ("SIGKILL", "SIGUSR1", "SIGUSR2"))):
    for name in names:
        delattr(module, name)
sys.modules |= {"resource": None, "fcntl": None, "pwd": None}
import headscope
for module in pkgutil.walk_packages(headscope.__path__, "headscope."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
import hydra_plugins.headscope
print("imported")
"""


def test_every_module_can_be_imported_where_posix_is_missing():
    done = shell("-c", WITHOUT_POSIX)
    assert done.stdout.endswith("imported\n"), done.stderr


def test_lightning_starts_the_observer_that_we_replace():
    """The name is private, so this test fails first if it changes."""
    assert list(inspect.signature(subprocess_script._launch_process_observer).parameters) == ["child_processes"] or (
        subprocess_script._launch_process_observer.__module__ == "headscope.run.processes"
    )
    launch = inspect.getsource(subprocess_script._SubprocessScriptLauncher.launch)
    assert "_launch_process_observer(self.procs)" in launch
