"""The report of a sweep: which combination is better, by how much, and whether that could be chance.

    python -m headscope.sweep.report DIR

writes `report.md` and `report.html` into the sweep's folder, of nothing but the files of its jobs.
"""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from headscope.data.atomic import write_atomically
from headscope.errors import Parser, UserError
from headscope.sweep.chart import Series, chart
from headscope.sweep.jobs import Job, Manifest, Status, read_config, said, shortened, status, swept
from headscope.sweep.statistics import Difference, Group, differences

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
        self.results = [Result(job, status(folder / job.name)) for job in manifest.jobs]
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
        return sorted(found, key=lambda c: Group.of(c.losses).mean)

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

    def fixed(self) -> dict[str, str]:
        """Every key of the config that all runs had alike."""
        configs = [c for r in self.completed if (c := read_config(self.folder / r.job.name))]
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


Rows = list[tuple[str, ...]]  #: of text, the header first


def ranking(sweep: Sweep) -> Rows:
    """Each combination with the mean and deviation of its losses."""
    rows: Rows = [("", *sweep.keys, "val/loss", "± sd", "runs", "parameters", "seconds", "tokens/s")]
    for place, c in enumerate(sweep.ranked, 1):
        group = Group.of(c.losses)
        deviation = f"{group.deviation:.4f}" if group.n > 1 else ""
        numbers = (f"{c.mean(key):,.0f}" for key in ("parameters", "train_seconds", "tokens_per_second"))
        rows.append((str(place), *map(shortened, c.values), f"{group.mean:.4f}", deviation, str(group.n), *numbers))
    return rows


def effects(sweep: Sweep) -> Rows:
    """Each value of each key alone, over all others."""
    rows: Rows = [("key", "value", "val/loss", "± sd", "runs")]
    for key in sweep.keys if len(sweep.keys) > 1 else ():
        for c in sweep.by([key]):
            group = Group.of(c.losses)
            deviation = f"{group.deviation:.4f}" if group.n > 1 else ""
            rows.append((key, *map(shortened, c.values), f"{group.mean:.4f}", deviation, str(group.n)))
    return rows


def jobs(sweep: Sweep) -> Rows:
    """Every job."""
    rows: Rows = [("job", *sweep.swept, "state", "steps", "val/loss", "best", "seconds")]
    for r in sweep.results:
        s = r.status
        loss, best = s.val_loss, r.fact("best_val_loss")
        texts = [f"{x:.4f}" if x is not None else "" for x in (loss, best)]
        seconds = f"{r.fact('train_seconds'):.1f}" if r.fact("train_seconds") else ""
        values = (shortened(r.job.values.get(key, "")) for key in sweep.swept)
        rows.append((r.job.name, *values, s.state, str(s.steps[0] or ""), *texts, seconds))
    return rows


def failed(sweep: Sweep) -> Rows:
    """The jobs that did not complete, with the reason that each gave."""
    rows: Rows = [("job", "state", "reason")]
    for r in sweep.results:
        if r.status.state not in ("completed", "pruned"):
            rows.append((r.job.name, r.status.state, r.status.reason or "it was stopped, or has not begun"))
    return rows


def charts(sweep: Sweep) -> list[tuple[str, str]]:
    """Titles and SVG."""
    names = [c.name for c in sweep.ranked]
    step, second = ([_curve(c, key) for c in sweep.ranked] for key in ("step", "seconds"))
    size = [_point(c) for c in sweep.ranked]
    y = f"val/loss, {sweep.unit}"
    band = "band: ± sd over seeds" if any(len(c.losses) > 1 for c in sweep.ranked) else "one seed each"
    found = [
        (f"Loss against steps ({band})", chart(step, "steps", y, f"loss against steps of {', '.join(names)}")),
        (f"Loss against seconds of training ({band})", chart(second, "seconds", y, "loss against seconds")),
        ("Final loss against parameters", chart(size, "parameters", y, "loss against parameters", log_x=True)),
    ]
    return [(title, svg) for title, svg in found if svg]


def _curve(c: Combination, along: str) -> Series:
    """Mean losses of a combination at the validations that all its runs have."""
    histories = [{h["step"]: h for h in r.status.history} for r in c.results]
    steps = sorted(set.intersection(*(set(h) for h in histories)))
    groups = [Group.of([h[s]["val_loss"] for h in histories]) for s in steps]
    x = [float(np.mean([h[s][along] for h in histories])) for s in steps]
    return _series(c.name, x, groups)


def _point(c: Combination) -> Series:
    return _series(c.name, [c.mean("parameters")], [Group.of(c.losses)])


def _series(name: str, x: list[float], groups: list[Group]) -> Series:
    spread = [g.deviation if g.n > 1 else 0.0 for g in groups]
    y = [g.mean for g in groups]
    low, high = ([m + sign * s for m, s in zip(y, spread, strict=True)] for sign in (-1, 1))
    return Series(name, x, y, low, high)


Section = tuple[str, list[str], Rows]  #: title, paragraphs, a table


def sections(sweep: Sweep) -> list[Section]:
    """The report but for its charts, its command and what was held fixed."""
    losses = f"Final validation loss in {sweep.unit}, mean and standard deviation over the runs of each combination."
    found: list[Section] = [("Ranking", [losses, *sweep.sentences()], ranking(sweep))]
    if len(rows := effects(sweep)) > 1:
        found.append(("Each choice alone", ["Means over everything else that was swept."], rows))
    if len(rows := failed(sweep)) > 1:
        found.append(("Did not complete", [], rows))
    found.append(("Jobs", [], jobs(sweep)))
    return found


def markdown(sweep: Sweep) -> str:
    """The report as text."""
    lines = [f"# {sweep.folder.resolve().name}", "", sweep.state_line(), ""]
    for warning in sweep.warnings():
        lines += [f"> **{warning}**", ""]
    for title, paragraphs, rows in sections(sweep):
        lines += [f"## {title}", ""]
        for paragraph in paragraphs:
            lines += [f"- {paragraph}" if paragraph is not paragraphs[0] else paragraph]
        lines += [""] if paragraphs else []
        for number, row in enumerate(rows):
            lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |")
            lines += ["|" + " --- |" * len(row)] if number == 0 else []
        lines.append("")
    lines += ["## Command", "", "```bash", command_of(sweep), "```", "", "## Held fixed", ""]
    lines += [f"- `{key}`: {value}" for key, value in sweep.fixed().items()]
    return "\n".join(lines) + "\n"


def command_of(sweep: Sweep) -> str:
    """The command that makes this sweep again."""
    if not sweep.command:
        return "# started by another launcher, which wrote down no command"
    return f"python train.py {shlex.join(sweep.command)}"


STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1100px; margin: 2em auto; padding: 0 1.2em; }
table { border-collapse: collapse; margin: .6em 0 1.4em; font-variant-numeric: tabular-nums; }
th, td { padding: .2em .8em; border-bottom: 1px solid #ddd; text-align: left; }
td.n, th.n { text-align: right; }
.scroll { overflow-x: auto; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(480px, 100%), 1fr)); gap: 1em; }
figure { margin: 0; } figcaption { font-weight: 600; } svg { width: 100%; height: auto; }
.warning { border-left: 5px solid #D55E00; padding: .4em .8em; background: #fdf1ea; }
pre { background: #f5f5f5; padding: .8em; white-space: pre-wrap; overflow-wrap: anywhere; }
@media print { body { margin: 0; max-width: none; } figure, tr { break-inside: avoid; } details { display: none; } }
"""


def page(sweep: Sweep) -> str:
    """The report as one HTML file that needs no other."""
    name = escape(sweep.folder.resolve().name)
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{name}</title><style>{STYLE}</style></head><body>",
        f"<h1>{name}</h1><p>{escape(sweep.state_line())}</p>",
        *(f'<p class="warning">{escape(w)}</p>' for w in sweep.warnings()),
    ]
    for title, paragraphs, rows in sections(sweep):
        parts.append(f"<h2>{title}</h2>")
        if paragraphs:
            parts.append(f"<p>{escape(paragraphs[0])}</p>")
            parts += ["<ul>", *(f"<li>{escape(p)}</li>" for p in paragraphs[1:]), "</ul>"] if paragraphs[1:] else []
        parts.append(_html_table(rows))
        if title == "Ranking":
            figures = (f"<figure><figcaption>{escape(t)}</figcaption>{svg}</figure>" for t, svg in charts(sweep))
            parts += ['<div class="charts">', *figures, "</div>"]
    parts.append(f"<h2>Command</h2><pre>{escape(command_of(sweep))}</pre>")
    fixed = "".join(f"<tr><td>{escape(k)}</td><td>{escape(v)}</td></tr>" for k, v in sweep.fixed().items())
    parts.append(f"<h2>Held fixed</h2><details open><summary>every key of the config</summary><table>{fixed}</table>")
    return "\n".join([*parts, "</details></body></html>\n"])


def _html_table(rows: Rows) -> str:
    def cell(tag: str, text: str) -> str:
        number = text.replace(",", "").replace(".", "").isdigit() or text in NUMBERS
        return f"<{tag}{' class=n' if number else ''}>{escape(text)}</{tag}>"

    head, *body = rows
    lines = ["<tr>" + "".join(cell("th", t) for t in head) + "</tr>"]
    lines += ["<tr>" + "".join(cell("td", t) for t in row) + "</tr>" for row in body]
    return f'<div class="scroll"><table>{"".join(lines)}</table></div>'


NUMBERS = ("", "val/loss", "± sd", "runs", "parameters", "seconds", "tokens/s", "steps", "best")


def write_report(folder: Path) -> str:
    """Writes both files; returns the ranking, what it means, and where the files lie, for the terminal.

    Raises:
        UserError: the folder holds no sweep.
    """
    sweep = Sweep(folder)
    write_atomically(folder / "report.md", markdown(sweep).encode())
    write_atomically(folder / "report.html", page(sweep).encode())
    rows = ranking(sweep)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    table = ["  ".join(text.ljust(w) for text, w in zip(row, widths, strict=True)).rstrip() for row in rows[:11]]
    more = [f"… and {len(rows) - 11} more"] if len(rows) > 11 else []
    body = [*table, *more, "", *sweep.sentences()[:10], ""] if len(rows) > 1 else []
    return "\n".join([*sweep.warnings(), *body, f"report: {folder}/report.html and report.md"])


def main() -> int:
    """The command."""
    parser = Parser("python -m headscope.sweep.report", description="Writes the report of a sweep.")
    parser.add_argument("folder", type=Path, help="the folder that train.py -m named")
    try:
        print(write_report(parser.parse_args().folder))
    except UserError as e:
        print(f"error: {e}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
