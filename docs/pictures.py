"""Draws the pictures for the README and the documentation, each from a run or a sweep.

    python -m docs.pictures induction RUN        induction.png; RUN is from `python train.py experiment=repeated`
    python -m docs.pictures extrapolation SWEEP  extrapolation.png; SWEEP is from `experiment=extrapolation`
    python -m docs.pictures dashboard SWEEP      dashboard.png; SWEEP is from `python train.py sweep=positions seed=1`

`make pictures` trains the models and draws the first two.
"""

import json
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image

import headscope
from headscope import UserError, shell
from headscope.heads.capture import look
from headscope.render.figures import COLOURS, block_means, pixels
from headscope.render.pictures import maps_picture
from tests.browser import browser
from tests.dashboard import tensorboard

DOCS = Path(__file__).parent
WORD, TIMES = "dragonfly", 3  #: an induction head must find the copy of a letter nine positions earlier
CAPTIONS = {
    "previous token": "attends to the letter before",
    "induction": "attends to the letter that followed last time",
}
POINTS = 32  #: number of points of each line in the figure of the losses


def induction(run: Path) -> None:
    """Draws the best previous-token head and the best induction head of a run, on a repeated word."""
    model, tokenizer, _ = headscope.load(run)
    ids = tokenizer.encode(WORD * TIMES)
    reports = json.loads((run / "summary.json").read_text()).get("heads", [])
    maps, captions = [], []
    weights = look(model, ids[None], "maps").maps[:, 0].double().numpy()  # (L, H, T, T)
    for role, caption in CAPTIONS.items():
        with_role = [report for report in reports if report["role"] == role]
        if not with_role:
            raise UserError(f"{run} has no head with the role {role!r}; use a run of experiment=repeated")
        best = max(with_role, key=lambda report: report["score"])["head"]
        layer, head = map(int, best[1:].split("H"))
        maps.append(weights[layer, head])
        captions.append(f"{best}, {role}: {caption}")
    tokens = [tokenizer.show(i) for i in ids.tolist()]
    title = "Two heads of one model: each row shows where one letter attends"
    save(Image.fromarray(maps_picture(np.stack(maps), tokens, title, captions)), "induction.png")


def extrapolation(sweep: Path) -> None:
    """Draws the loss by the number of context tokens: one line per scheme, with a band of one standard deviation."""
    losses, trained = defaultdict(list), 0
    for summary in summaries(sweep):
        measured = summary.get("loss_by_position")
        if not measured:
            raise UserError(f"{sweep} has no losses by position; use a sweep of experiment=extrapolation")
        losses[summary["position"]].append(measured["non_overlapping"]["as trained"])
        trained = measured["trained"]
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for colour, (position, runs) in zip(COLOURS, losses.items(), strict=False):
        lines = [block_means(position, run, POINTS) for run in runs]
        x, y = lines[0].x, np.array([line.y for line in lines])  # y (seeds, points)
        mean, deviation = y.mean(0), y.std(0, ddof=1)
        axes.plot(x, mean, color=colour, linewidth=1.8)
        axes.fill_between(x, mean - deviation, mean + deviation, color=colour, alpha=0.15, linewidth=0)
        axes.annotate(position, (x[-1], mean[-1]), xytext=(5, 0), textcoords="offset points", color=colour, va="center")
    axes.axvline(trained, color="#555555", linestyle=":")
    axes.annotate(
        f"trained on {trained}",
        (trained, 1),
        xycoords=("data", "axes fraction"),
        xytext=(4, -12),
        textcoords="offset points",
        color="#555555",
    )
    axes.set(xlabel="position of the predicted character", ylabel="nats per character")
    axes.spines[["top", "right"]].set_visible(False)
    save(Image.fromarray(pixels(figure)), "extrapolation.png")


def dashboard(sweep: Path) -> None:
    """Takes a screenshot of TensorBoard with the losses of all runs."""
    runs = len(summaries(sweep))
    with tensorboard(sweep, runs) as address, tempfile.TemporaryDirectory() as profile, browser(profile) as tab:
        tab.size(1280, 640)
        tab.call("Page.navigate", url=f"{address}/?smoothing=0&tagFilter=loss%24#timeseries")
        time.sleep(15)  # the page does not signal when its curves are drawn
        tab.run("document.querySelector('[aria-label=\"Close side pane\"]').click()")
        time.sleep(5)
        shot = Path(profile) / "shot.png"
        tab.photograph(shot)
        save(Image.open(shot).convert("RGB"), "dashboard.png")


def summaries(sweep: Path) -> list[dict[str, Any]]:
    """Returns the summary of every run of a sweep. Raises UserError if there is none."""
    found = [json.loads(file.read_text()) for file in sorted(sweep.glob("*/summary.json"))]
    if not found:
        raise UserError(f"there are no finished runs in {sweep}; use the folder of a sweep")
    return found


def save(picture: Image.Image, name: str) -> None:
    """Writes a picture as a small PNG file: at most 1000 pixels wide, with 64 colours."""
    picture.thumbnail((1000, 1000), Image.Resampling.LANCZOS)
    picture.quantize(64).save(DOCS / name, optimize=True)
    print(f"{DOCS / name}: {(DOCS / name).stat().st_size // 1024} kB")


PICTURES = {"induction": induction, "extrapolation": extrapolation, "dashboard": dashboard}


def main() -> None:
    """Draws the picture that the command line names."""
    torch.set_num_threads(1)
    if len(sys.argv) != 3 or sys.argv[1] not in PICTURES:
        usage = "for example: python -m docs.pictures induction outputs/repeated"
        raise UserError(f"the arguments must be a picture ({', '.join(PICTURES)}) and a folder, {usage}")
    PICTURES[sys.argv[1]](Path(sys.argv[2]))


if __name__ == "__main__":
    shell.run(main)
