"""Checks all jobs of a sweep before the first job starts, so that mistakes are found early."""

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig

from headscope.config.composed import Composed, split_off_hydra
from headscope.config.overrides import split
from headscope.errors import UserError
from headscope.sweep import jobs as sweep_jobs


def refuse_ignored(hydra: DictConfig) -> None:
    """Raises `UserError` for a typed key that names the folder of a run, because a sweep names the folders of its jobs.

    `hydra` is Hydra's own node. A resumed sweep may repeat such a key, because earlier versions ignored it.
    """
    typed = {split(o)[0] for o in (*hydra.overrides.hydra, *hydra.overrides.task)}
    ignored = {"hydra.run.dir", "hydra.sweep.subdir", "paths.run_dir"} & typed
    if ignored and not sweep_jobs.resumed:
        names = "a sweep names the folder of each job after its overrides"
        raise UserError(f"{min(ignored)} has no effect, because {names}; use hydra.sweep.dir=… for the sweep's folder")


def check(jobs: Sequence[Sequence[str]], master: DictConfig, loader: ConfigLoader) -> None:
    """Composes each job; checks its config in another process, whose memory is freed when it ends.

    Prints the error of each job that cannot be built; raises `UserError` if no job can be built.
    """
    composed = [split_off_hydra(loader.load_sweep_config(master, list(job))) for job in jobs]
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        messages = list(process.map(_mistake, composed))
    wrong = [(job, message) for job, message in zip(jobs, messages, strict=True) if message]
    if len(wrong) == len(jobs):
        raise UserError(wrong[0][1])
    shared = set.intersection(*map(set, jobs))
    for job, message in wrong:
        print(f"{' '.join(o for o in job if o not in shared)} cannot be built and will fail: {message}", flush=True)


def _mistake(job: Composed) -> str:
    """Returns the error message for a config, empty if the config is valid. Hardware and data are not checked."""
    from headscope.config.keys import TrainConfig
    from headscope.config.schema import parse

    try:
        parse(job.config, TrainConfig, job.choices)
    except UserError as e:
        return str(e)
    return ""
