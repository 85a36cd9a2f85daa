"""The conclusions of a report, in sentences."""

import numpy as np

from headscope.report.results import Combination, Sweep
from headscope.report.statistics import MOST_SEEDS, differences, seeds_needed


def findings(sweep: Sweep) -> list[str]:
    """Returns one sentence about the best combination, and one for each comparison with it."""
    if not sweep.ranked:
        return ["No job has completed, so there is nothing to rank."]
    copies = len(sweep.completed) - len(sweep.samples)
    found = [f"Left out: runs that repeat the combination and the seed of another ({copies})."] if copies else []
    best, *others = sweep.ranked
    if not others:
        return [*found, "Only one combination completed, so there is nothing to compare."]
    if sweep.incomparable:
        return [*found, "The losses are not comparable, so no combination is called worse than another."]
    if best.seeds == 1:
        why = "it ran with one seed only, so the difference may be chance; sweep over seed=1,2,3 too"
        return [*found, f"{best.name} has the lowest loss, but {why}."]
    found.append(f"{best.name} has the lowest loss.")
    _, margins = differences([c.losses for c in sweep.ranked])
    for c, margin in zip(others, margins[0, 1:].tolist(), strict=True):
        if c.seeds > 1:
            found.append(_comparison(best, c, margin))
            if c is others[0] and c.mean - best.mean <= margin:
                found.append(_seeds_to_distinguish(sweep, best, c))
    single = [c.name for c in others if c.seeds == 1]
    return found + [f"Not compared, because one seed does not show the noise: {'; '.join(single)}."] * bool(single)


def _comparison(best: Combination, other: Combination, margin: float) -> str:
    difference, n, m = other.mean - best.mean, other.seeds, best.seeds
    seeds = f"{n} seeds each" if n == m else f"{n} and {m} seeds"
    interval = f"95% interval {difference - margin:+.4f} to {difference + margin:+.4f}, {seeds}"
    if difference > margin:
        return f"{other.name} is worse than the best by {difference:.4f} ({interval})."
    noise = f"a difference of {difference:.4f} is within the noise"
    return f"{other.name} is not distinguishable from the best: {noise} ({interval})."


def _seeds_to_distinguish(sweep: Sweep, best: Combination, second: Combination) -> str:
    deviations = np.concatenate([c.losses - c.mean for c in sweep.ranked])
    pooled = float(np.sqrt((deviations**2).sum() / (len(deviations) - len(sweep.ranked))))
    difference, tested = second.mean - best.mean, sum(c.seeds > 1 for c in sweep.ranked)
    needed = seeds_needed(difference, pooled, tested, beyond=max(best.seeds, second.seeds))
    return (
        f"Distinguishing these two with 80% power would take {f'about {needed}' if needed else f'over {MOST_SEEDS}'}"
        f" seeds of each, if the measured difference ({difference:.4f}) and standard deviation over seeds"
        f" ({pooled:.4f}) are the true ones."
    )


def assumptions(sweep: Sweep) -> str:
    """Returns the assumptions of the word "worse", or an empty string if nothing was tested."""
    tested = sum(c.seeds > 1 for c in sweep.ranked)
    if tested < 2 or sweep.incomparable:
        return ""
    return (
        f"“Worse” has a 5% chance of even one mistake among all pairs of the {tested} combinations with two or more"
        " seeds. The difference exceeds two margins: Tukey and Kramer's, which assumes that all combinations have the"
        " same variance, and Welch's, which does not. Both assume independent seeds and roughly normal losses. The"
        " result holds only for this data and this length of training."
    )
