"""The reports on all heads as a table: `heads.csv`, text for people, and when each role formed.

Each row is one head at one training step: step, layer, head, role, whether the role is confirmed, evidence, and scores.
"""

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from headscope.heads.reports import HeadReport
from headscope.heads.roles import NO_ROLE

Row = dict[str, Any]
#: Fields of `Evidence` that have a column.
EVIDENCE = ("value", "uniform", "shuffled", "cost", "error", "last", "last_error")
PARSERS: dict[str, Callable[[str], Any]] = {  # of columns that are not numbers with a fraction
    "step": int, "layer": int, "head": int, "role": str, "confirmed": "True".__eq__,
}  # fmt: skip
UNFORMED = (NO_ROLE, "uniform")  #: the state of heads before they have learned anything, which is not a role that forms


def rows(reports: Sequence[HeadReport], step: int) -> list[Row]:
    """Returns one row per head; NaN and missing evidence are empty."""
    table = []
    for r in reports:
        evidence = asdict(r.evidence) if r.evidence else {}
        row: Row = {"step": step, "layer": r.layer, "head": r.head, "role": r.role, "confirmed": r.confirmed}
        numbers = {name: evidence.get(name) for name in EVIDENCE} | r.scores
        table.append(row | {name: "" if x is None or math.isnan(x) else x for name, x in numbers.items()})
    return table


def to_csv(table: Sequence[Row]) -> str:
    """Returns rows as text with a header; numbers have six significant digits."""
    file = io.StringIO()
    writer = csv.DictWriter(file, dict.fromkeys(key for row in table for key in row), lineterminator="\n")
    writer.writeheader()
    for row in table:
        writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
    return file.getvalue()


def from_csv(text: str) -> list[Row]:
    """Reads the rows of `to_csv`. An incomplete last line is dropped."""
    lines = csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1]))
    return [{k: PARSERS.get(k, float)(v) if v else "" for k, v in row.items()} for row in lines]


def extended(text: str, more: Sequence[Row]) -> str:
    """Appends rows to the text of a table. Existing rows are formatted again only if there are new columns."""
    whole = to_csv(more)
    header = whole[: whole.index("\n") + 1]
    return text + whole[len(header) :] if text.startswith(header) else to_csv([*from_csv(text), *more])


def titles(reports: Iterable[HeadReport]) -> dict[tuple[int, int], str]:
    """Returns the label of each (layer, head) that has a role: the role, with a question mark if unconfirmed."""
    return {(r.layer, r.head): r.role + "?" * (not r.confirmed) for r in reports if r.role != NO_ROLE}


def formed(table: Iterable[Row], history: Sequence[Mapping[str, float]]) -> dict[str, dict[str, Any]]:
    """Returns when each role first had a confirmed head: step, head, and the validation losses before and at that step.

    The history has step and val_loss of each validation.
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
    """Returns one line per head, with its role and the evidence, followed by an explanation of the columns."""
    header = ("head", "role", "score", "value", "uniform", "shuffled", "ablation costs", "as the last", "role is")
    lines: list[tuple[str, ...]] = [header]
    for r in reports:
        e = r.evidence
        if e is None:
            lines.append((r.name, r.role, *[""] * (len(header) - 2)))
            continue
        controls = (f"{x:.3f}" for x in (e.value, e.uniform, e.shuffled))
        last = "" if e.last is None else f"{e.last:+.4f} ± {e.last_error:.4f}"
        verdict = "confirmed" if r.confirmed else "unconfirmed"
        lines.append((r.name, r.role, e.score, *controls, f"{e.cost:+.4f} ± {e.error:.4f}", last, verdict))
    if not any(r.evidence and r.evidence.last is not None for r in reports):
        lines = [(*line[:-2], line[-1]) for line in lines]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    table = ["  ".join(x.ljust(w) for x, w in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([*table, "", LEGEND])


LEGEND = (
    "value: the score that stands out. uniform: the score of a head that attends to its past evenly. shuffled: the\n"
    "score of this head's weights on the wrong keys. ablation costs: by how many nats per token the loss rises on the\n"
    "role's texts when the head's output is replaced by its mean, ± one standard error. as the last: the same after\n"
    "the other heads of its layer with this role are ablated, because they may replace it. A role is confirmed if one\n"
    "of the two costs is at least 0.01 nats and 3 standard errors."
)
