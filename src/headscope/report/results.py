"""What came of a sweep: its runs, grouped into combinations and ranked."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from headscope.config.changes import flat
from headscope.errors import UserError
from headscope.report.statistics import Array, differences
from headscope.run.folder import RunFolder, Status
from headscope.sweep.jobs import Job, Manifest, said, swept

#: Facts in which runs must agree for their losses to be comparable, and their names.
COMPARABLE = {
    "data.sha256": "data", "data.tokenizer": "tokenizer", "data.vocab_size": "vocabulary", "data.block_size": "context",
}  # fmt: skip
#: Facts that may shift a loss a little, or change the seconds.
CONDITIONS = {
    "steps": "steps", "commit": "commit", "hardware.cpu": "machine", "hardware.gpus": "GPU", "threads": "threads",
}  # fmt: skip


@dataclass(frozen=True)
class Result:
    """A job and what came of it."""

    job: Job
    status: Status

    @cached_property
    def facts(self) -> dict[str, Any]:
        """The values of its summary by dotted key."""
        return flat(self.status.summary)

    @property
    def sample(self) -> tuple[str, frozenset[tuple[str, str]]]:
        """Its seed and its other overrides; a run with the same ones is a copy, not another sample."""
        values = dict(self.job.values)
        given = values.pop("seed", "")
        return str(self.facts.get("seed", given)), frozenset(values.items())


class Combination:
    """Values of swept keys, and the runs that have them: one for each seed.

    Attributes:
        losses: the final validation losses, (n,), nats per token; `mean` is theirs.
    """

    def __init__(self, keys: Sequence[str], values: Sequence[str], results: Sequence[Result]) -> None:
        self.name = ", ".join(map(said, keys, values)) or "all runs"
        self.values, self.results, self.seeds = values, results, len(results)
        self.losses = self.of("val_loss")
        self.mean = float(self.losses.mean())

    def of(self, key: str) -> Array:
        """A number from the summaries of those runs that have it, (n,) or fewer."""
        return np.array([float(r.facts[key]) for r in self.results if r.facts.get(key) is not None])


class Sweep:
    """Everything that a report says, read from a folder.

    Attributes:
        swept: the keys in which jobs differ; `keys` are those but the seed.
        trials: the runs that only helped to choose a value; they are no samples.
        completed: the other runs that ended with a loss; `samples` are those without copies.
        ranked: the K combinations, the lowest mean loss first.

    Raises:
        UserError: there is no sweep in it.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise UserError(f"{folder} is not a folder; give the folder that train.py -m named")
        manifest = Manifest.read(folder)
        self.folder, self.command = folder, manifest.command
        self.results = [Result(job, RunFolder(folder / job.name).status()) for job in manifest.jobs]
        self.swept = swept(manifest.jobs)
        self.keys = [key for key in self.swept if key != "seed"]
        self.trials = [r for r in self.results if r.job.trial]
        ended = [r for r in self.results if r.status.state == "completed" and not r.job.trial]
        self.completed = [r for r in ended if math.isfinite(r.facts.get("val_loss") or math.nan)]
        first = {r.sample: r for r in reversed(self.completed)}  # of copies, the first counts
        self.samples = [r for r in self.completed if first[r.sample] is r]
        self.ranked = self.by(self.keys)

    def by(self, keys: Sequence[str]) -> list[Combination]:
        """The samples grouped by the values of some keys, the lowest mean loss first."""
        groups: dict[tuple[str, ...], list[Result]] = {}
        for r in self.samples:
            groups.setdefault(tuple(r.job.values.get(key, "") for key in keys), []).append(r)
        return sorted((Combination(keys, *group) for group in groups.items()), key=lambda c: c.mean)

    def facts(self, beginning: str) -> set[str]:
        """The keys, with that beginning, of what any sample recorded."""
        return {key for r in self.samples for key in r.facts if key.startswith(beginning)}

    def above(self, key: str) -> list[str]:
        """For each ranked combination the places, from 1, of those in which a number is clearly lower.

        One in which some run has no such number is compared with no other.
        """
        numbers = [(c.of(key), c.seeds) for c in self.ranked]
        higher, by_chance = differences([x if len(x) == seeds else x[:0] for x, seeds in numbers])
        return [", ".join(str(j + 1) for j in np.flatnonzero(row)) for row in higher > by_chance]

    def worse(self, key: str) -> list[str]:
        """The same for a loss, of which none is called worse where they are not comparable."""
        return [""] * len(self.ranked) if self.incomparable else self.above(key)

    @property
    def unit(self) -> str:
        """Of the losses."""
        units = {str(r.facts.get("data.tokenizer", "token")) for r in self.completed}
        return f"nats per {units.pop() if len(units) == 1 else 'token'}"

    def state_line(self) -> str:
        """How many jobs ended how."""
        states = [r.status.state for r in self.results]
        counts = ", ".join(f"{states.count(s)} {s}" for s in dict.fromkeys(states))
        over = " × ".join(f"{len({r.job.values.get(key) for r in self.results})} of {key}" for key in self.swept)
        return f"{len(states)} jobs: {counts}." + (f" Swept: {over}." if over else "")

    @cached_property
    def incomparable(self) -> list[str]:
        """What the completed runs differ in that makes their losses not comparable."""
        return self._varied(COMPARABLE)

    def _varied(self, facts: dict[str, str]) -> list[str]:
        return [name for key, name in facts.items() if len({str(r.facts.get(key)) for r in self.completed}) > 1]

    def warnings(self) -> list[str]:
        """What makes the losses not comparable, or less so."""
        found = []
        if apart := self.incomparable:
            across = " Across tokenizers, compare bits per character." * bool({"tokenizer", "vocabulary"} & {*apart})
            found.append(f"Losses here are NOT comparable: the runs differ in {' and '.join(apart)}.{across}")
        if apart := [x for x in self._varied(CONDITIONS) if x != "steps" or "trainer.max_steps" not in self.swept]:
            found.append(f"The runs were not made under the same conditions: they differ in {' and '.join(apart)}.")
        if notes := {str(note) for r in self.completed if (note := r.facts.get("data.note"))}:
            found.append(f"About the data: {'; '.join(sorted(notes))}.")
        return found

    def fixed(self) -> dict[str, str]:
        """Every key of the config whose value all runs share."""
        first, *others = [c for r in self.completed if (c := RunFolder(self.folder / r.job.name).config())] or [{}]
        return {k: v for k, v in first.items() if all(c.get(k) == v for c in others) and not k.startswith("paths.")}
