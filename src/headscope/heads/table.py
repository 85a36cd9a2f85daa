"""What every head does, as a table: `heads.csv`, lines for people, and when each role formed.

A row is one head at one step of training: step, layer, head, role, whether it is confirmed, the evidence, every score.
"""

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from headscope.heads.reports import HeadReport

Row = dict[str, Any]
#: Fields of `Evidence` that have a column.
EVIDENCE = ("value", "uniform", "shuffled", "cost", "error", "last", "last_error")
KINDS: dict[str, Callable[[str], Any]] = {  # of columns that are no scores
    "step": int, "layer": int, "head": int, "role": str, "confirmed": "True".__eq__,
}  # fmt: skip
UNFORMED = ("none", "uniform")  #: what every head is before it has learned anything: neither is said to form


def rows(reports: Sequence[HeadReport], step: int) -> list[Row]:
    """A row for each head; NaN and absent evidence are empty."""
    table = []
    for r in reports:
        evidence = asdict(r.evidence) if r.evidence else {}
        row: Row = {"step": step, "layer": r.layer, "head": r.head, "role": r.role, "confirmed": r.confirmed}
        numbers = {name: evidence.get(name) for name in EVIDENCE} | r.scores
        table.append(row | {name: "" if x is None or math.isnan(x) else x for name, x in numbers.items()})
    return table


def to_csv(table: Sequence[Row]) -> str:
    """Rows as text, the header first; scores with six digits."""
    file = io.StringIO()
    writer = csv.DictWriter(file, dict.fromkeys(key for row in table for key in row), lineterminator="\n")
    writer.writeheader()
    for row in table:
        writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
    return file.getvalue()


def from_csv(text: str) -> list[Row]:
    """The rows of `to_csv`; a line that was cut off is dropped."""
    table = []
    for row in csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1])):
        table.append({k: KINDS.get(k, float)(v) if v else "" for k, v in row.items()})
    return table


def extended(text: str, more: Sequence[Row]) -> str:
    """The text of a table with more rows; what it holds is not formatted again, unless columns are new."""
    whole = to_csv(more)
    header = whole[: whole.index("\n") + 1]
    return text + whole[len(header) :] if text.startswith(header) else to_csv([*from_csv(text), *more])


def name(row: Mapping[str, Any]) -> str:
    """L1H2."""
    return f"L{row['layer']}H{row['head']}"


def titles(reports: Iterable[HeadReport]) -> dict[tuple[int, int], str]:
    """What to write beside the name of a head, by (layer, head): its role, with a question mark if unconfirmed."""
    return {(r.layer, r.head): r.role + "?" * (not r.confirmed) for r in reports if r.role != "none"}


def formed(table: Iterable[Row], history: Sequence[Mapping[str, float]]) -> dict[str, dict[str, Any]]:
    """When each role first had a confirmed head: step, head, and the validation losses before and there.

    Args:
        table: rows of all steps.
        history: step and val_loss of each validation.
    """
    losses = {int(h["step"]): h["val_loss"] for h in history}
    found: dict[str, dict[str, Any]] = {}
    for row in sorted(table, key=lambda row: int(row["step"])):
        if row["confirmed"] and row["role"] not in (*found, *UNFORMED):
            step = int(row["step"])
            before = [loss for s, loss in sorted(losses.items()) if s < step]
            found[row["role"]] = {
                "step": step,
                "head": name(row),
                "val_loss_before": before[-1] if before else None,
                "val_loss": losses.get(step),
            }
    return found


def as_text(reports: Sequence[HeadReport]) -> str:
    """A line for each head, with its role and the evidence for it, and what the columns mean."""
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
    "value: the score that stands out. uniform: the same score of a head that looks at its past evenly. shuffled: of\n"
    "this head's weights on the wrong keys. ablation costs: nats per token by which the loss rises where the role\n"
    "matters when the head's output is replaced by its mean, ± one standard error. as the last: the same once the\n"
    "other heads of its layer with its role, which may stand in for it, are gone. A role is confirmed if one of the\n"
    "two is at least 0.01 nats and 3 standard errors."
)
