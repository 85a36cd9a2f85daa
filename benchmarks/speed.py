"""Time to a good model: `experiment=speed_cpu` and `quickstart` against nanoGPT's CPU recipe in a plain PyTorch loop.

    python benchmarks/speed.py           seeds 1, 2 and 3; takes about 11 minutes on 2 cores
    python benchmarks/speed.py 1 2       seeds 1 and 2

For each seed, the benchmark trains three models in sequence: nanoGPT's recipe; `speed_cpu`; and `quickstart` with as
many steps as fit into the recipe's time, which is estimated from 100 steps. Losses cover the whole validation split, in
windows of 64.
"""

import json
import sys
import tempfile
from pathlib import Path
from statistics import mean

from common import run, save, table


def nanogpt(seed):
    """Runs the recipe; returns its loss, its seconds and other measurements."""
    output, _, _ = run("benchmarks/nanogpt.py", seed)
    return json.loads(output.splitlines()[-1])


def ours(experiment, seed, *more):
    """Runs `train.py` without optional callbacks and loggers; returns the same measurements as `nanogpt`."""
    with tempfile.TemporaryDirectory() as folder:
        where = (f"hydra.run.dir={folder}/run", "callbacks=none", "logger=none")
        _, _, wall = run("train.py", f"experiment={experiment}", f"seed={seed}", *where, *more)
        summary = json.loads((Path(folder) / "run" / "summary.json").read_text())
    return {
        "seconds": summary["train_seconds"],
        "wall_seconds": wall,
        "step_ms": 1000 * summary["train_seconds"] / summary["steps"],
        "val_loss": summary["val_loss"],
        "steps": summary["steps"],
        "parameters": summary["parameters"],
        "precision": summary["hardware"]["precision"],
    }


def main(seeds):
    rounds = []
    for seed in seeds:
        recipe, quick = nanogpt(seed), ours("speed_cpu", seed)
        pace = ours("quickstart", seed, "trainer.max_steps=100", "trainer.val_check_interval=100")["step_ms"] / 1000
        steps = int(recipe["seconds"] / pace)
        long = ours("quickstart", seed, f"trainer.max_steps={steps}", f"trainer.val_check_interval={steps}")
        rounds.append({"seed": seed, "nanoGPT": recipe, "speed_cpu": quick, "quickstart, as long": long})
        print(json.dumps(rounds[-1]), flush=True)
    rows = [
        ("mean of seeds " + " ".join(map(str, seeds)), "val/loss", "steps", "ms per step", "training s", "command s")
    ]
    for name in ("nanoGPT", "speed_cpu", "quickstart, as long"):
        figures = {key: mean(r[name][key] for r in rounds) for key in rounds[0]["nanoGPT"]}
        rows.append(
            (
                name,
                f"{figures['val_loss']:.4f}",
                f"{figures['steps']:.0f}",
                f"{figures['step_ms']:.1f}",
                f"{figures['seconds']:.1f}",
                f"{figures['wall_seconds']:.1f}",
            )
        )
    table(rows)
    ratio = {k: mean(r["nanoGPT"][k] / r["speed_cpu"][k] for r in rounds) for k in ("seconds", "wall_seconds")}
    print(f"nanoGPT's training takes {ratio['seconds']:.1f} times ours, its command {ratio['wall_seconds']:.1f} times")
    save("speed", {"ratio": ratio, "rounds": rounds})


if __name__ == "__main__":
    main([int(seed) for seed in sys.argv[1:]] or [1, 2, 3])
