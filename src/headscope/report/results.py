"""What came of a sweep: its completed runs, grouped, ranked and compared."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from headscope.errors import UserError
from headscope.report.statistics import Difference, Group, differences
from headscope.run.folder import RunFolder, Status
from headscope.sweep.jobs import Job, Manifest, said, swept

#: Facts in which runs must agree for their losses to be compared, with what to say of each.
COMPARABLE = {
    "data.sha256": "data",
    "data.tokenizer": "tokenizer",
    "data.vocab_size": "vocabulary",
    "data.block_size": "context",
}
#: Facts that may change a loss a little, or its seconds.
CONDITIONS = {
    "steps": "steps",
    "commit": "commit",
    "hardware.cpu": "machine",
    "hardware.gpus": "GPU",
    "threads": "threads",
}


@dataclass(frozen=True)
class Result:
    """A job and what came of it."""

    job: Job
    status: Status

    def fact(self, key: str) -> Any:
        """A value of its summary, by dotted key."""
        found: Any = self.status.summary
        for part in key.split("."):
            found = found.get(part) if isinstance(found, dict) else None
        return found


@dataclass(frozen=True)
class Combination:
    """All seeds of one combination of what was swept."""

    keys: tuple[str, ...]
    values: tuple[str, ...]
    results: tuple[Result, ...]

    @property
    def name(self) -> str:
        return ", ".join(map(said, self.keys, self.values)) or "all runs"

    @property
    def losses(self) -> list[float]:
        """Final validation losses, nats per token."""
        return [r.status.summary["val_loss"] for r in self.results]

    @cached_property
    def group(self) -> Group:
        """Their mean and deviation."""
        return Group.of(self.losses)

    def mean(self, key: str) -> float:
        """Of a number in the summaries."""
        return float(np.mean([r.fact(key) or 0 for r in self.results]))


class Sweep:
    """Everything that a report says, read from a folder.

    Args:
        folder: of the sweep.

    Raises:
        UserError: it holds none.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise UserError(f"{folder} is no folder; give the folder that train.py -m named")
        manifest = Manifest.read(folder)
        self.folder, self.command = folder, manifest.command
        self.results = [Result(job, RunFolder(folder / job.name).status()) for job in manifest.jobs]
        self.swept = swept(manifest.jobs)
        self.keys = [key for key in self.swept if key != "seed"]

    @cached_property
    def completed(self) -> list[Result]:
        return [r for r in self.results if r.status.state == "completed" and r.fact("val_loss") is not None]

    def by(self, keys: Sequence[str]) -> list[Combination]:
        """The completed runs grouped by the values of some keys, the lowest mean loss first."""
        groups: dict[tuple[str, ...], list[Result]] = {}
        for r in self.completed:
            groups.setdefault(tuple(r.job.values.get(key, "") for key in keys), []).append(r)
        found = [Combination(tuple(keys), values, tuple(results)) for values, results in groups.items()]
        return sorted(found, key=lambda c: c.group.mean)

    @cached_property
    def ranked(self) -> list[Combination]:
        return self.by(self.keys)

    @property
    def unit(self) -> str:
        units = {r.fact("data.tokenizer") for r in self.completed}
        return f"nats per {units.pop()}" if len(units) == 1 and None not in units else "nats per token"

    def state_line(self) -> str:
        """How many jobs ended how."""
        states = [r.status.state for r in self.results]
        counts = ", ".join(f"{states.count(s)} {s}" for s in dict.fromkeys(states))
        over = " × ".join(f"{len({r.job.values.get(key) for r in self.results})} of {key}" for key in self.swept)
        return f"{len(states)} jobs: {counts}." + (f" Swept: {over}." if over else "")

    def warnings(self) -> list[str]:
        """What makes losses here not comparable, or less so."""

        def varied(facts: dict[str, str]) -> list[str]:
            return [name for key, name in facts.items() if len({str(r.fact(key)) for r in self.completed}) > 1]

        found = []
        if apart := varied(COMPARABLE):
            found.append(
                f"Losses here are NOT comparable: the runs differ in {' and '.join(apart)}."
                + (" Across tokenizers, compare bits per character." if {"tokenizer", "vocabulary"} & {*apart} else "")
            )
        if apart := varied(
            {k: v for k, v in CONDITIONS.items() if k != "steps" or "trainer.max_steps" not in self.swept}
        ):
            found.append(f"The runs were not made under the same conditions: {' and '.join(apart)} differ.")
        if notes := {r.fact("data.note") for r in self.completed} - {None, ""}:
            found.append("Of the data: " + "; ".join(sorted(notes)) + ".")
        return found

    @cached_property
    def sentences(self) -> list[str]:
        """What the ranking means, a sentence for each combination but the best."""
        if len(self.ranked) < 2:
            return []
        best = self.ranked[0]
        if all(len(c.losses) == 1 for c in self.ranked):
            return [
                f"{best.name} has the lowest loss. Each combination ran once, so nobody can say which differences are"
                " noise: add seed=1,2,3."
            ]
        against = differences({c.values: c.losses for c in self.ranked}, best.values)
        return [sentence(best.name, c.name, against[c.values], len(c.losses)) for c in self.ranked[1:]]

    @cached_property
    def fixed(self) -> dict[str, str]:
        """Every key of the config that all runs had alike."""
        configs = [c for r in self.completed if (c := RunFolder(self.folder / r.job.name).config())]
        first = configs[0] if configs else {}
        return {k: v for k, v in first.items() if all(c.get(k) == v for c in configs) and not k.startswith("paths.")}


def sentence(best: str, other: str, d: Difference, n: int) -> str:
    """A difference in words."""
    if not d.measured:
        return f"{other} lies {d.value:.4f} above {best}; so few runs cannot tell whether that is noise."
    interval = f"95% interval {d.low:+.4f} to {d.high:+.4f}, {n} run{'s' * (n > 1)}"
    if d.clear:
        return f"{other} is worse than {best} by {d.value:.4f} ({interval})."
    return f"{other} is not distinguishable from {best}: {d.value:+.4f} is within the noise ({interval})."
