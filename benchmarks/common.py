"""Functions for all benchmarks: run commands, print tables, save results with the hardware and the commit."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))


def run(*command, environment=None):
    """Runs Python with the given arguments; returns the output, the peak memory in MB, and the seconds.

    The process imports the code in this checkout, not an installed version.
    """
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *map(str, command)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")} | (environment or {}),
    )
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{output}")
    return output, usage.ru_maxrss / 1024, time.perf_counter() - began


def table(rows):
    """Prints rows of text; the first row is the header."""
    widths = [max(len(str(row[i])) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print(
            "  ".join(
                str(x).rjust(w) if i else str(x).ljust(w) for i, (x, w) in enumerate(zip(row, widths, strict=True))
            )
        )


def save(name, figures):
    """Saves measurements in benchmarks/results/NAME.json, with the machine and the commit."""
    from headscope.installed import commit
    from headscope.training.hardware import Machine

    machine = Machine.here()
    about = {
        "cpu": machine.cpu,
        "cores": machine.cores,
        "amx": machine.amx,
        "avx512_bf16": machine.avx512_bf16,
        "gpus": machine.gpus,
        "commit": commit(),
    }
    path = ROOT / "benchmarks" / "results" / f"{name}.json"
    path.write_text(json.dumps(about | figures, indent=2) + "\n")
    print(f"results written to {path.relative_to(ROOT)}")
