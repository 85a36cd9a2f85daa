"""The results of a sweep: its runs, grouped into combinations and ranked."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from headscope.config.overrides import flat
from headscope.errors import UserError
from headscope.report.statistics import Array, differences
from headscope.run.folder import Status
from headscope.run.plausible import why_implausible
from headscope.sweep.jobs import Job, Manifest, swept_keys, value_label

#: Summary keys whose values must be equal in all runs for the losses to be comparable, with their names in the report.
COMPARABLE = {
    "data.sha256": "data", "data.tokenizer": "tokenizer", "data.vocab_size": "vocabulary", "data.block_size": "context",
}  # fmt: skip
#: Summary keys whose values may slightly change the loss or the training time.
CONDITIONS = {
    "steps": "steps", "commit": "commit", "hardware.cpu": "machine", "hardware.gpus": "GPU", "threads": "threads",
}  # fmt: skip


@dataclass(frozen=True)
class Result:
    """A job and the status of its run."""

    job: Job
    status: Status

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The values of the run's summary, with nested keys joined by dots."""
        return flat(self.status.summary)

    @cached_property
    def why_implausible(self) -> str:
        """Why the loss of the completed run cannot be the result of learning; empty if it is plausible."""
        return why_implausible(self.status.summary) if self.status.state == "completed" else ""

    @property
    def sample(self) -> tuple[str, frozenset[tuple[str, str]]]:
        """The seed and the other overrides. Runs in which both are equal are copies and count as one sample."""
        values = dict(self.job.values)
        seed = values.pop("seed", "")
        return str(self.summary.get("seed", seed)), frozenset(values.items())


class Combination:
    """A value for each swept key except the seed, and the runs with these values, one per seed.

    `losses` (n,) has the final validation loss of each run, in nats per token; `mean` is the mean loss.
    """

    def __init__(self, keys: Sequence[str], values: Sequence[str], results: Sequence[Result]) -> None:
        self.name = ", ".join(map(value_label, keys, values)) or "all runs"
        self.values, self.results, self.seeds = values, results, len(results)
        self.losses = self.numbers("val_loss")
        self.mean = float(self.losses.mean())

    def numbers(self, key: str) -> Array:
        """Returns one number from the summary of each run, (n,). Runs without this number are skipped."""
        return np.array([float(r.summary[key]) for r in self.results if r.summary.get(key) is not None])


class Sweep:
    """Everything that a report shows, read from a sweep's folder.

    Attributes:
        swept: the keys whose values differ between jobs; `keys` has the same keys without the seed.
        trials: runs that only served to tune one key (`hydra_plugins.headscope.Tuned`); they do not count as samples.
        implausible: the other runs that completed with a loss that cannot be the result of learning; never ranked.
        completed: the other runs that ended with a finite loss; `samples` has the same runs without copies.
        ranked: the K combinations, by increasing mean loss.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise UserError(f"{folder} is not a folder; use the folder that train.py -m printed")
        manifest = Manifest.read(folder)
        self.folder, self.command = folder, manifest.command
        self.results = [Result(job, job.run(folder).status()) for job in manifest.jobs]
        self.swept = swept_keys(manifest.jobs)
        self.keys = [key for key in self.swept if key != "seed"]
        self.trials = [r for r in self.results if r.job.trial]
        ended = [r for r in self.results if r.status.state == "completed" and not r.job.trial]
        self.implausible = [r for r in ended if r.why_implausible]
        losses = [(r, r.summary.get("val_loss")) for r in ended if not r.why_implausible]
        self.completed = [r for r, loss in losses if loss is not None and math.isfinite(loss)]
        first = {r.sample: r for r in reversed(self.completed)}  # of several copies, the first run counts
        self.samples = [r for r in self.completed if first[r.sample] is r]
        self.ranked = self.combinations(self.keys)

    def combinations(self, keys: Sequence[str], results: Sequence[Result] | None = None) -> list[Combination]:
        """Returns results, by default the samples, grouped by the values of the keys and sorted by mean loss."""
        groups: dict[tuple[str, ...], list[Result]] = {}
        for r in self.samples if results is None else results:
            groups.setdefault(tuple(r.job.values.get(key, "") for key in keys), []).append(r)
        return sorted((Combination(keys, *group) for group in groups.items()), key=lambda c: c.mean)

    def summary_keys(self, prefix: str) -> set[str]:
        """Returns the keys in the summaries of all samples that begin with a prefix."""
        return {key for r in self.samples for key in r.summary if key.startswith(prefix)}

    def significantly_lower(self, key: str) -> list[str]:
        """Returns for each ranked combination the ranks of the combinations whose mean of `key` is significantly lower.

        Combinations in which a run lacks the key are not compared.
        """
        numbers = [(c.numbers(key), c.seeds) for c in self.ranked]
        higher, margins = differences([x if len(x) == seeds else x[:0] for x, seeds in numbers])
        return [", ".join(str(j + 1) for j in np.flatnonzero(row)) for row in higher > margins]

    def worse_than(self, key: str) -> list[str]:
        """Returns `significantly_lower` for a loss, or empty strings if the losses are not comparable."""
        return [""] * len(self.ranked) if self.incomparable else self.significantly_lower(key)

    @property
    def unit(self) -> str:
        """The unit of the losses."""
        units = {str(r.summary.get("data.tokenizer", "token")) for r in self.completed}
        return f"nats per {units.pop() if len(units) == 1 else 'token'}"

    def state_line(self) -> str:
        """Returns one line: the number of jobs in each state, and the number of values of each swept key."""
        states = [r.status.state for r in self.results]
        counts = ", ".join(f"{states.count(s)} {s}" for s in dict.fromkeys(states))
        over = " × ".join(f"{len({r.job.values.get(key) for r in self.results})} of {key}" for key in self.swept)
        return f"{len(states)} jobs: {counts}." + (f" Swept: {over}." if over else "")

    @cached_property
    def incomparable(self) -> list[str]:
        """Names of the settings that differ between completed runs and make their losses incomparable."""
        return self._differing(COMPARABLE)

    def _differing(self, names: dict[str, str]) -> list[str]:
        return [name for key, name in names.items() if len({str(r.summary.get(key)) for r in self.completed}) > 1]

    def warnings(self) -> list[str]:
        """Returns warnings about runs whose losses are not comparable, or only with caution."""
        found = []
        for reason in dict.fromkeys(r.why_implausible for r in self.implausible):
            runs = "; ".join(self._label(r) for r in self.implausible if r.why_implausible == reason)
            found.append(f"Not ranked, because the loss is not plausible: {runs}. Reason: {reason}.")
        if names := self.incomparable:
            across = " Across tokenizers, compare bits per character." * bool({"tokenizer", "vocabulary"} & {*names})
            found.append(f"Losses here are NOT comparable: the runs differ in {' and '.join(names)}.{across}")
        if names := [x for x in self._differing(CONDITIONS) if x != "steps" or "trainer.max_steps" not in self.swept]:
            found.append(f"The runs were not made under the same conditions: they differ in {' and '.join(names)}.")
        if notes := {str(note) for r in self.completed if (note := r.summary.get("data.note"))}:
            found.append(f"About the data: {'; '.join(sorted(notes))}.")
        return found

    def _label(self, r: Result) -> str:
        """Returns the swept values of a run, or the name of its job."""
        return ", ".join(value_label(key, r.job.values.get(key, "")) for key in self.swept) or r.job.name

    def fixed_settings(self) -> dict[str, str]:
        """Returns the config keys whose values are the same in all runs, with these values."""
        first, *others = [c for r in self.completed if (c := r.job.run(self.folder).config())] or [{}]
        return {k: v for k, v in first.items() if all(c.get(k) == v for c in others) and not k.startswith("paths.")}
