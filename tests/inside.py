"""Runs `train.py` in this process, because starting a process takes seconds and most mistakes are found early."""

import contextlib
import io
import logging
import os
import runpy
import sys
import time
from unittest.mock import patch

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

from headscope.cli import command
from headscope.cli.command import prepare_arguments
from headscope.errors import Interrupted
from headscope.run.processes import outcome
from headscope.sweep import jobs
from tests.conftest import ROOT

#: Overrides of a run of one step.
TINY = (
    *("data=pydoc", "model.n_layers=1", "model.d_model=32", "heads=h2", "model.block_size=16", "trainer.threads=1"),
    *(
        "trainer.max_steps=1",
        "trainer.val_check_interval=1",
        "callbacks=none",
        "logger=none",
        "trainer.accelerator=cpu",
    ),
)


def train(*argv, cwd=ROOT):
    """Returns the exit code and the printed text of both streams; raises unexpected errors."""
    with patch.object(command, "run") as run:
        runpy.run_path(str(ROOT / "train.py"), run_name="__main__")  # Hydra looks for conf/ next to train.py
    main = run.call_args.args[0]
    printed, root = io.StringIO(), logging.getLogger()
    handlers, level, loud = list(root.handlers), root.level, logging.raiseExceptions
    with (
        patch.object(sys, "argv", [str(ROOT / "train.py"), *map(str, argv)]),
        patch.dict(os.environ),
        patch.object(jobs, "sweep_folders", []),
        patch.object(command, "sweep_folders", []),
        patch.object(command, "started", time.monotonic()),  # this process started long ago
        patch.object(jobs, "resumed", []),
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
    ):
        try:
            prepare_arguments(resume=True)
            command.call_and_report(main)
            code = 0
        except SystemExit as e:
            code = e.code
        except (Exception, Interrupted) as e:
            found = outcome(e)
            if found is None:
                raise
            code, message = found
            printed.write(f"error: {message}")
        finally:
            GlobalHydra.instance().clear()
            HydraConfig.instance().cfg = None
            for handler in [h for h in root.handlers if h not in handlers]:
                root.removeHandler(handler)
                with contextlib.suppress(OSError):  # the disk is full; `logging.shutdown` ignores this error too
                    handler.close()
            root.handlers, logging.raiseExceptions = handlers, loud
            root.setLevel(level)
    return code, printed.getvalue()
