"""A fair comparison: each combination gets the value of one key that suits it, and only then are seeds compared."""

from typing import TYPE_CHECKING

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher

from headscope.errors import RunFailed, UserError
from headscope.sweep.jobs import split
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
    trials: dict[tuple[str, ...], list[str]] = {}  # by the combination and the value that is tried
    groups: dict[tuple[str, ...], dict[str, list[list[str]]]] = {}  # combination to value to its jobs, one a seed
    for job in grid:
        rest = tuple(o for o in job if split(o)[0] not in (sweeper.tune, "seed"))
        value = next((o for o in job if split(o)[0] == sweeper.tune), None)
        seed = next((o for o in job if split(o)[0] == "seed"), "seed=1")
        if value is None:
            raise UserError(f"hydra.sweeper.tune={sweeper.tune} has no values to choose from; give it several")
        if seed == f"seed={sweeper.tuning_seed}":
            raise UserError(f"{seed} is that of the trials; compare with others, or set hydra.sweeper.tuning_seed")
        trials[(*rest, value)] = [*rest, value, f"seed={sweeper.tuning_seed}"]
        groups.setdefault(rest, {}).setdefault(value, []).append([*rest, value, seed])
    sweeper.check([*trials.values()])
    trained = dict(zip(trials, launch(sweeper.folder, [*trials.values()], runner, trial=True), strict=True))
    chosen = []
    for rest, values in groups.items():
        ended = {v: done.return_value for v in values if (done := trained[(*rest, v)]).status == JobStatus.COMPLETED}
        if ended:
            chosen += values[min(ended, key=lambda v: ended[v])]
    if not chosen:
        raise RunFailed("no trial completed, so there is nothing to compare")
    return launch(sweeper.folder, chosen, runner, first=len(trials))
