"""Restores what a run sets for the whole process."""

import logging
import os
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import numpy as np
import torch


@contextmanager
def process_restored() -> Iterator[None]:
    """Restores what a run sets for the whole process, except the signal handlers, which `execute` restores."""
    loggers = [logging.getLogger(name) for name in ("", "lightning.pytorch", "lightning.fabric")]
    levels, raising = [logger.level for logger in loggers], logging.raiseExceptions
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    deterministic = torch.are_deterministic_algorithms_enabled()
    generators = random.getstate(), np.random.get_state()
    try:
        with patch.dict(os.environ), warnings.catch_warnings(), torch.random.fork_rng():
            yield
    finally:
        random.setstate(generators[0])
        np.random.set_state(generators[1])
        torch.use_deterministic_algorithms(deterministic)
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)
        logging.raiseExceptions = raising
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
