"""How much of each head's contribution the fitted rules recover, from runs that described their heads.

    python train.py -m experiment=quickstart seed=1,2,3 hydra.sweep.dir=outputs/described
    python benchmarks/descriptions.py outputs/described/*

Prints one row per run, and one for all. It counts the heads whose ablation costs at least `COSTS` nats per token, and
states which share of this cost the full and the readable rules recover when they replace one head's attention.
"""

import json
import statistics
import sys
from pathlib import Path
from typing import Any

COSTS = 0.02  #: minimum cost of a head that counts, in nats per token
GOOD = 0.75


def row(name: str, heads: list[dict[str, Any]]) -> str:
    """Returns the figures of some heads as a row of a Markdown table."""
    full, readable = ([h[key] for h in heads] for key in ("recovered_full", "recovered"))
    medians = f"{statistics.median(full):.3f} | {statistics.median(readable):.3f}"
    good = sum(x >= GOOD for x in full)
    return f"| {name} | {len(heads)} | {medians} | {good} | {min(full):.2f} | {min(readable):.2f} |"


def main(folders: list[str]) -> None:
    print(f"| run | heads | full, median | readable, median | full ≥ {GOOD} | full, least | readable, least |")
    print("|---|---|---|---|---|---|---|")
    every: list[dict[str, Any]] = []
    for folder in folders:
        file = Path(folder) / "summary.json"
        if not file.exists():
            continue
        heads = json.loads(file.read_text(encoding="utf-8"))["heads"]
        clear = [h for h in heads if h.get("recovered") is not None and h["cost"] >= COSTS]
        if clear:
            print(row(Path(folder).name, clear))
            every += clear
    if not every:
        sys.exit("no run in these folders has described a head that costs enough; see callbacks.heads.describe_from")
    print(row("all", every))


if __name__ == "__main__":
    main(sys.argv[1:])
