"""Checks the jobs of a sweep before the first one starts, so that a mistake in the last job is found early."""

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig

from headscope.config.composed import Composed, split_off_hydra
from headscope.errors import UserError


def check(jobs: Sequence[Sequence[str]], master: DictConfig, loader: ConfigLoader) -> None:
    """Composes each job and builds what needs no data, in a separate process whose memory is freed afterwards.

    Prints the jobs that cannot be built; the sweep trains the others.

    Raises:
        UserError: no job can be built.
    """
    composed = [split_off_hydra(loader.load_sweep_config(master, list(job))) for job in jobs]
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        messages = process.submit(_mistakes, composed).result()
    wrong = [(job, message) for job, message in zip(jobs, messages, strict=True) if message]
    if len(wrong) == len(jobs):
        raise UserError(wrong[0][1])
    shared = set.intersection(*map(set, jobs))
    for job, message in wrong:
        print(f"{' '.join(o for o in job if o not in shared)} cannot be built and will fail: {message}", flush=True)


def _mistakes(jobs: Sequence[Composed]) -> list[str]:
    """Returns the error message for each config, empty if there is none. Does not look at hardware or data."""
    from headscope.config.keys import TrainConfig
    from headscope.config.schema import parse

    found = []
    for job in jobs:
        try:
            parse(job.config, TrainConfig, job.choices)
            found.append("")
        except UserError as e:
            found.append(str(e))
    return found
