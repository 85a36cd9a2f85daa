"""A fair comparison: each combination gets its own best value of one key before seeds are compared."""

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
    """Runs one trial per combination and value, then each combination's best value with the given seeds.

    The report does not count trials as samples: a value chosen for its low loss was also lucky.

    Raises:
        UserError: the key has no values, or one of the seeds is the seed of the trials.
        RunFailed: no trial of any combination completed.
        Interrupted: a signal stopped the sweep.
    """
    grid = combinations(sweeper.params, typed, sweeper.loader)
    trials, jobs = {}, []  # trials by (other overrides, value); jobs also have a seed
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
    # The dict keeps the last value of each combination, which is the value with the lowest loss.
    best = dict(sorted(losses, key=lambda key: losses[key], reverse=True))
    chosen = [job for rest, value, job in jobs if best.get(rest) == value]
    if not chosen:
        raise RunFailed("no trial completed, so there is nothing to compare")
    return launch(sweeper.folder, chosen, runner, first=len(trials))
