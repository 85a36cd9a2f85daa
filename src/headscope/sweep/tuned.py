"""A fair comparison: each combination gets the value of one key that suits it, and only then are seeds compared."""

from typing import TYPE_CHECKING

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher

from headscope.config.overrides import split
from headscope.errors import RunFailed, UserError
from headscope.sweep.launcher import combinations, launch
from headscope.sweep.pool import Pool

if TYPE_CHECKING:
    from hydra_plugins.headscope import Tuned


def tuned(sweeper: "Tuned", typed: list[str], runner: Pool | Launcher) -> list[JobReturn]:
    """Runs trials of every value with one seed, then each combination's best value with the seeds given.

    The trials are no samples: a value chosen for a low loss has a loss that is low by chance, too.

    Raises:
        UserError: nothing to tune, or a seed that trials have seen.
        RunFailed: no trial of any combination completed.
        Interrupted: a signal stopped the sweep.
    """
    assert sweeper.hydra_context is not None
    grid = combinations(sweeper.params, typed, sweeper.hydra_context.config_loader)
    trials, jobs = {}, []  # by the other overrides and the value; the same with a seed each
    for job in grid:
        rest = tuple(o for o in job if split(o)[0] not in (sweeper.tune, "seed"))
        value = next((o for o in job if split(o)[0] == sweeper.tune), None)
        seed = next((o for o in job if split(o)[0] == "seed"), "seed=1")
        if value is None:
            raise UserError(f"hydra.sweeper.tune={sweeper.tune} has no values to choose from; give it several")
        if seed == f"seed={sweeper.tuning_seed}":
            raise UserError(f"{seed} is that of the trials; compare with others, or set hydra.sweeper.tuning_seed")
        trials[rest, value] = [*rest, value, f"seed={sweeper.tuning_seed}"]
        jobs.append((rest, value, [*rest, value, seed]))
    sweeper.check([*trials.values()])
    ended = zip(trials, launch(sweeper.folder, [*trials.values()], runner, trial=True), strict=True)
    losses = {key: done.return_value for key, done in ended if done.status == JobStatus.COMPLETED}
    # By all but the value: of several the last stays, which is that with the lowest loss.
    best = dict(sorted(losses, key=lambda key: losses[key], reverse=True))
    chosen = [job for rest, value, job in jobs if best.get(rest) == value]
    if not chosen:
        raise RunFailed("no trial completed, so there is nothing to compare")
    return launch(sweeper.folder, chosen, runner, first=len(trials))
