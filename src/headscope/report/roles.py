"""When the heads of each combination took up their roles: at which step the first confirmed head had each."""

import numpy as np

from headscope.report.results import Combination, Sweep
from headscope.report.statistics import clearly_above
from headscope.report.tables import Rows
from headscope.sweep.jobs import shortened

CAPTION = (
    "The step at which the first head with a confirmed role was seen: mean and standard deviation over the seeds in"
    " which one was. “Later than” gives the places, in the ranking, of combinations in which it formed clearly earlier;"
    " only combinations in which it formed with every seed are compared, by the rule of the ranking."
)


def roles_formed(sweep: Sweep) -> Rows:
    """A row for each role and combination; no rows where no run looked at its heads."""
    rows: Rows = [("role", "", *sweep.keys, "formed", "step", "± sd", "later than")]
    named = {key.split(".")[1] for r in sweep.samples for key in r.facts if key.startswith("roles.")}
    for role in sorted(named):
        steps = [_steps(c, role) for c in sweep.ranked]
        later = clearly_above(steps, [c.seeds for c in sweep.ranked])
        for place, (c, s) in enumerate(zip(sweep.ranked, steps, strict=True), 1):
            spread = f"{s.std(ddof=1):.0f}" if len(s) > 1 else ""
            clear = ", ".join(str(j + 1) for j in np.flatnonzero(later[place - 1]))
            numbers = (f"{len(s)} of {c.seeds}", f"{s.mean():.0f}" if len(s) else "never", spread, clear)
            rows.append((role, str(place), *map(shortened, c.values), *numbers))
    return rows


def _steps(c: Combination, role: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The steps at which a role formed, (n,) for the n seeds in which it did."""
    found = [r.facts.get(f"roles.{role}.step") for r in c.results]
    return np.array([float(step) for step in found if step is not None])
