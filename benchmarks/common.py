"""Shared by the benchmarks: runs commands, prints tables, saves results with hardware and commit."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))


def run(*command, environment=None):
    """Runs a Python command of the project; returns its output, its peak memory in MB, and its seconds.

    The command runs the code of this checkout, not an installed version.
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
    """Writes measurements with the machine and the commit."""
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
    print(f"written to {path.relative_to(ROOT)}")
