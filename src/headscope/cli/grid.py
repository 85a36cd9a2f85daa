"""The jobs of a sweep are tried before the first one starts: a mistake in the last would be found hours later."""

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig

from headscope.config.composed import apart
from headscope.errors import UserError


def check(jobs: Sequence[Sequence[str]], master: DictConfig, loader: ConfigLoader) -> None:
    """Composes each job and builds what it can without data, in a process that ends with the memory it needs for that.

    What cannot be built is said at once; the other jobs are trained, as they are when one fails for another reason.

    Raises:
        UserError: no job can be built.
    """
    composed = [apart(loader.load_sweep_config(master, list(job))) for job in jobs]
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        messages = process.submit(_mistakes, composed).result()
    wrong = [(job, message) for job, message in zip(jobs, messages, strict=True) if message]
    if len(wrong) == len(jobs):
        raise UserError(wrong[0][1])
    shared = set.intersection(*map(set, jobs))
    for job, message in wrong:
        print(f"{' '.join(o for o in job if o not in shared)} cannot be built and will fail: {message}", flush=True)


def _mistakes(composed: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> list[str]:
    """What is wrong with each config; empty if nothing was found. Hardware and data are for the job to look at."""
    from headscope.config.keys import TrainConfig
    from headscope.config.schema import parse

    found = []
    for config, choices in composed:
        try:
            parse(config, TrainConfig, choices)
            found.append("")
        except UserError as e:
            found.append(str(e))
    return found
