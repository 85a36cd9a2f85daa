"""What the ranking means, in sentences."""

import numpy as np

from headscope.report.results import Combination, Sweep
from headscope.report.statistics import MOST_SEEDS, differences, seeds_needed


def findings(sweep: Sweep) -> list[str]:
    """Each combination against the best, and what it would take to tell the first two apart."""
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
        alone = "ran with one seed, so nothing tells whether it is better; sweep over seed=1,2,3 too"
        return [*found, f"{best.name} has the lowest loss, but {alone}."]
    found.append(f"{best.name} has the lowest loss.")
    _, margins = differences([c.losses for c in sweep.ranked])
    tested = [(c, float(m)) for c, m in zip(others, margins[0, 1:], strict=True) if c.seeds > 1]
    for c, m in tested:
        found.append(_compared(best, c, m))
        if c is others[0] and c.mean - best.mean <= m:
            found.append(_power(sweep, best, c))
    single = [c.name for c in others if c.seeds == 1]
    return found + [f"Not compared, because one seed says nothing about noise: {'; '.join(single)}."] * bool(single)


def _compared(best: Combination, other: Combination, margin: float) -> str:
    """A combination against the best."""
    difference, n, m = other.mean - best.mean, other.seeds, best.seeds
    seeds = f"{n} seeds each" if n == m else f"{n} and {m} seeds"
    interval = f"95% interval {difference - margin:+.4f} to {difference + margin:+.4f}, {seeds}"
    if difference > margin:
        return f"{other.name} is worse than the best by {difference:.4f} ({interval})."
    noise = f"a difference of {difference:.4f} is within the noise"
    return f"{other.name} is not distinguishable from the best: {noise} ({interval})."


def _power(sweep: Sweep, best: Combination, second: Combination) -> str:
    """How many seeds would tell the first two apart."""
    scatter = np.concatenate([c.losses - c.mean for c in sweep.ranked])
    pooled = float(np.sqrt((scatter**2).sum() / (len(scatter) - len(sweep.ranked))))
    difference, tested = second.mean - best.mean, sum(c.seeds > 1 for c in sweep.ranked)
    needed = seeds_needed(difference, pooled, tested, beyond=max(best.seeds, second.seeds))
    seeds = f"about {needed}" if needed else f"more than {MOST_SEEDS}"
    return (
        f"Telling these two apart with 80% power would take {seeds} seeds of each, if their true difference is"
        f" {difference:.4f} and the deviation over seeds {pooled:.4f}, as measured."
    )


def assumptions(sweep: Sweep) -> str:
    """What the word "worse" rests on; empty where nothing was tested."""
    tested = sum(c.seeds > 1 for c in sweep.ranked)
    if tested < 2 or sweep.incomparable:
        return ""
    return (
        f"“Worse” is said with a 5% chance of even one mistake among all pairs of the {tested} combinations with two or"
        " more seeds: the difference exceeds both the Tukey-Kramer margin, which assumes that all combinations scatter"
        " alike, and Welch's, which does not. Both assume independent seeds and roughly normal losses, and speak only"
        " of this data and this length of training."
    )
