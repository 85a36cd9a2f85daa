"""Writes the reports on all heads as a table: as `heads.csv`, or as text for people. Finds when each role formed.

Each row of `heads.csv` is one head at one step: step, layer, head, role, whether it is confirmed, evidence, scores,
the texts of the ablation, whether the head rests on the first token, and the stability of the role.
"""

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from headscope.heads.descriptions import Description
from headscope.heads.patterns import KINDS
from headscope.heads.reports import HeadReport
from headscope.heads.roles import NO_ROLE, SINK

Row = dict[str, Any]
#: Fields of `Evidence` that have a column.
EVIDENCE = ("value", "uniform", "shuffled", "cost", "error", "last", "last_error")
PARSERS: dict[str, Callable[[str], Any]] = {  # for the columns that are not floats
    "step": int, "layer": int, "head": int, "role": str, "confirmed": "True".__eq__,
    "probe": str, "rests_on_first": "True".__eq__,
}  # fmt: skip
UNFORMED = (NO_ROLE, "uniform")  #: roles of untrained heads, which do not count as formed


def rows(reports: Sequence[HeadReport], step: int, descriptions: Sequence[Description] = ()) -> list[Row]:
    """Returns one row per head; NaN and missing numbers become empty cells."""
    table = []
    described: list[Description | None] = [*descriptions] or [None] * len(reports)
    for r, d in zip(reports, described, strict=True):
        evidence = asdict(r.evidence) if r.evidence else {}
        row: Row = {"step": step, "layer": r.layer, "head": r.head, "role": r.role, "confirmed": r.confirmed}
        numbers = {name: evidence.get(name) for name in EVIDENCE} | r.scores
        row |= {name: "" if x is None or math.isnan(x) else x for name, x in numbers.items()}
        row["probe"] = r.evidence.probe if r.evidence else ""
        row |= {"rests_on_first": r.rests_on_first, "stability": r.stability}
        table.append(row | _description(d))
    return table


def _description(d: Description | None) -> Row:
    """Returns the shares of a description; empty cells if there is none, or if the cost is within the noise."""
    if d is None or d.recovered is None or d.full is None:
        return dict.fromkeys(("recovered", "recovered_full", *(f"part_{kind}" for kind in KINDS)), "")
    parts = {f"part_{kind}": d.parts[kind] for kind in KINDS}
    return {"recovered": d.recovered.value, "recovered_full": d.full.value} | parts


def to_csv(table: Sequence[Row]) -> str:
    """Returns rows as CSV text with a header; floats have six significant digits."""
    file = io.StringIO()
    writer = csv.DictWriter(file, dict.fromkeys(key for row in table for key in row), lineterminator="\n")
    writer.writeheader()
    for row in table:
        writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
    return file.getvalue()


def from_csv(text: str) -> list[Row]:
    """Reads rows from the text of `to_csv`. Drops an incomplete last line."""
    lines = csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1]))
    return [{k: PARSERS.get(k, float)(v) if v else "" for k, v in row.items()} for row in lines]


def append_rows(text: str, more: Sequence[Row]) -> str:
    """Returns the CSV text with rows appended. Formats the existing rows again only if the columns differ."""
    added = to_csv(more)
    header = added[: added.index("\n") + 1]
    return text + added[len(header) :] if text.startswith(header) else to_csv([*from_csv(text), *more])


def role_labels(reports: Iterable[HeadReport]) -> dict[tuple[int, int], str]:
    """Returns the role of each (layer, head) that has one, with a question mark if it is unconfirmed."""
    return {(r.layer, r.head): r.role + "?" * (not r.confirmed) for r in reports if r.role != NO_ROLE}


def first_formed(table: Iterable[Row], history: Sequence[Mapping[str, float]]) -> dict[str, dict[str, Any]]:
    """Returns when each role first had a confirmed head: step, head, and the validation losses before and at this step.

    `history` has the `step` and `val_loss` of each validation.
    """
    losses = {int(h["step"]): h["val_loss"] for h in history}
    found: dict[str, dict[str, Any]] = {}
    for row in sorted(table, key=lambda row: int(row["step"])):
        if row["confirmed"] and row["role"] not in (*found, *UNFORMED):
            step = int(row["step"])
            before = [loss for s, loss in sorted(losses.items()) if s < step]
            found[row["role"]] = {
                "step": step,
                "head": f"L{row['layer']}H{row['head']}",
                "val_loss_before": before[-1] if before else None,
                "val_loss": losses.get(step),
            }
    return found


def as_text(reports: Sequence[HeadReport]) -> str:
    """Returns one line per head with its role and evidence, followed by an explanation of the columns."""
    before = ("head", "role", "score", "value", "uniform", "shuffled", "probe", "ablation cost")
    header = (*before, "cost after others", "verdict", "stability")
    lines: list[tuple[str, ...]] = [header]
    for r in reports:
        e, stability = r.evidence, f"{r.same_role}/{r.samples}"
        if e is None:
            lines.append((r.name, r.role, *[""] * (len(header) - 3), stability))
            continue
        role = f"{r.role}; rests on the first token" if r.rests_on_first and r.role != SINK else r.role
        controls = (f"{x:.3f}" for x in (e.value, e.uniform, e.shuffled))
        last = "" if e.last is None else f"{e.last:+.4f} ± {e.last_error:.4f}"
        verdict = "confirmed" if r.confirmed else "unconfirmed"
        cost = f"{e.cost:+.4f} ± {e.error:.4f}"
        lines.append((r.name, role, e.score, *controls, e.probe, cost, last, verdict, stability))
    if not any(r.evidence and r.evidence.last is not None for r in reports):
        lines = [(*line[:-3], *line[-2:]) for line in lines]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    table = ["  ".join(x.ljust(w) for x, w in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([*table, "", LEGEND])


LEGEND = (
    "rests on the first token: the head also puts far more attention than chance on the first token of a text. value:\n"
    "the score that stands out. uniform: the score of a head that attends to its past evenly. shuffled: the score of\n"
    "this head's weights on wrong keys. probe: the texts of the ablation, validation text or repeated random tokens.\n"
    "ablation cost: by how many nats per token the loss on these texts rises when the head's output is replaced with\n"
    "its mean, except at the first token, ± one standard error. cost after others: the same when all other heads with\n"
    "this role, in all layers, which may replace this head, are already ablated. verdict: a role is confirmed if one\n"
    "of the two costs is at least 0.01 nats and 3 standard errors. stability: in how many text samples the head has\n"
    "the same role; the samples are the single texts, complete and shortened."
)
