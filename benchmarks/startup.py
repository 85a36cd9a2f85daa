"""Seconds until the first output of each command (the best of three runs), and the peak memory of a training run.

python benchmarks/startup.py
"""

import subprocess
import sys
import tempfile
import time

from common import ROOT, run, save, table


def until(text, *command, more=0):
    """Returns the seconds until a command has printed `text` and at least `more` characters after it."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    seen = ""
    while True:
        piece = process.stdout.read(1)
        seen += piece
        if not piece:
            raise SystemExit(f"{' '.join(command)} never printed {text!r}")
        if text in seen and len(seen) >= seen.index(text) + len(text) + more:
            break
    seconds = time.perf_counter() - began
    process.kill()
    process.wait()
    process.stdout.close()
    return seconds


def main():
    with tempfile.TemporaryDirectory() as folder:
        nano = (
            "train.py",
            "data=pydoc",
            "trainer.max_steps=50",
            "trainer.val_check_interval=25",
            f"hydra.run.dir={folder}",
        )
        _, nano_mb, _ = run(*nano)
        _, torch_mb, torch_s = run("-c", "import torch")
        first = ("train.py", "data=toy", "model=nano", "trainer.max_steps=1", f"hydra.run.dir={folder}/first")
        generate = ("generate.py", f"checkpoint={folder}/checkpoints/best.ckpt", "prompt=The")
        figures = {
            "import torch": torch_s,
            "train.py --cfg job": min(run("train.py", "--cfg", "job")[2] for _ in range(3)),
            "train.py: first step": min(until("step ", *first) for _ in range(3)),
            "generate.py: first character": min(until("The", *generate, more=1) for _ in range(3)),
        }
    table([("", "seconds"), *((name, f"{seconds:.2f}") for name, seconds in figures.items())])
    print(f"peak memory of a nano run: {nano_mb:.0f} MB, {nano_mb - torch_mb:.0f} MB beyond importing torch")
    save("startup", {"seconds": figures, "memory_mb": {"nano": nano_mb, "import torch": torch_mb}})


if __name__ == "__main__":
    main()
