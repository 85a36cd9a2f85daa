"""The jobs of a sweep: what each is, which the manifest says, and how it fares, which its own files say.

This room reads files and starts processes; it imports no torch, so that a sweep's own process stays small.
"""

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from omegaconf import OmegaConf

from headscope.data.atomic import read_json, write_atomically
from headscope.errors import UserError

MANIFEST = "sweep.json"
RESUMING = "HEADSCOPE_RESUMING"  #: names the folder whose run or sweep is to go on, for this process and its ranks
LONGEST_NAME = 60
STARTED = "=== "  #: begins the line of `job.log` at which each process of a job starts

State = Literal["waiting", "running", "completed", "interrupted", "failed", "pruned"]


@dataclass(frozen=True)
class Job:
    """One run of a sweep.

    Args:
        name: of its folder.
        overrides: of its config, `key=value`.
    """

    name: str
    overrides: tuple[str, ...]

    @property
    def values(self) -> dict[str, str]:
        """Its overrides by key."""
        return dict(split(o) for o in self.overrides)


def resuming(folder: Path, marker: str) -> bool:
    """Whether what a folder holds is to go on: it or its sweep was asked to, or SLURM has requeued its job.

    Args:
        folder: of a run or a sweep.
        marker: the file in it that says that it was started.
    """
    asked, here = os.environ.get(RESUMING), folder.resolve()
    requeued = os.environ.get("SLURM_RESTART_COUNT", "0") != "0"
    return asked == str(here) or ((requeued or asked == str(here.parent)) and (folder / marker).exists())


def split(override: str) -> tuple[str, str]:
    """`+key=value` as key and value."""
    key, _, value = override.partition("=")
    return key.lstrip("+~"), value


def quoted(text: str) -> str:
    """A value as Hydra's grammar takes it, whatever is in it: backslashes count only before a quote."""
    inside = re.sub(r"(\\*)('|\Z)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), text)
    return f"'{inside}'"


def swept(jobs: Sequence[Job]) -> list[str]:
    """The keys in whose values jobs differ, in the order in which they were given."""
    keys = dict.fromkeys(key for job in jobs for key in job.values)
    return [key for key in keys if len({job.values.get(key) for job in jobs}) > 1]


def named(number: int, values: dict[str, str], width: int = 2) -> str:
    """A short readable folder name, `03-rope-s1`: the seed as s1, a number with the last part of its key."""
    parts = [f"{number:0{width}}"]
    for key, value in values.items():
        text = f"s{value}" if key == "seed" else said(key, value)
        parts.append(re.sub(r"[^\w.-]+", "", text))
    return "-".join(filter(None, parts))[:LONGEST_NAME].rstrip("-.")


def said(key: str, value: str) -> str:
    """A value in few words: of a number the last part of its key too, `lr 0.003`."""
    if re.match(r"[-+.\d\[]|(null|true|false)$", value):
        return f"{key.rpartition('.')[2]} {shortened(value)}"
    return value


def shortened(value: str) -> str:
    """A number with four digits at most; anything else as it is."""
    return f"{float(value):.4g}" if re.fullmatch(r"-?\d*\.\d+(e-?\d+)?|-?\d+e-?\d+", value) else value


@dataclass(frozen=True)
class Manifest:
    """What a sweep is: written once, before its first job starts, and again when it is extended.

    Args:
        command: what was typed after `train.py`.
        jobs: all of them.
    """

    command: tuple[str, ...]
    jobs: tuple[Job, ...]

    def write(self, folder: Path) -> None:
        """Into a sweep's folder, whole or not at all."""
        jobs = [{"name": job.name, "overrides": list(job.overrides)} for job in self.jobs]
        content = {"command": list(self.command), "swept": swept(self.jobs), "jobs": jobs}
        write_atomically(folder / MANIFEST, json.dumps(content, indent=2).encode())

    @staticmethod
    def read(folder: Path) -> "Manifest":
        """The manifest of a sweep; one made of its runs' own overrides where another launcher wrote none.

        Raises:
            UserError: there is no sweep in that folder.
        """
        try:
            content = json.loads((folder / MANIFEST).read_text())
            jobs = tuple(Job(job["name"], tuple(job["overrides"])) for job in content["jobs"])
            return Manifest(tuple(content["command"]), jobs)
        except FileNotFoundError:
            runs = sorted(folder.glob("*/summary.json"), key=lambda p: (len(p.parent.name), p.parent.name))
            if not runs:
                raise UserError(f"{folder} holds no sweep; give the folder that train.py -m named") from None
            return Manifest((), tuple(Job(p.parent.name, tuple(read_json(p).get("overrides", ()))) for p in runs))
        except (OSError, ValueError, KeyError, TypeError) as e:
            raise UserError(f"{folder / MANIFEST} is damaged ({type(e).__name__}); start the sweep anew") from e


def known_jobs(folder: Path) -> tuple[Job, ...]:
    """The jobs of the sweep in a folder; none where none was started."""
    return Manifest.read(folder).jobs if (folder / MANIFEST).exists() else ()


@dataclass(frozen=True)
class Status:
    """How a job fares.

    Args:
        state: in a word.
        reason: why it failed, in a few lines.
        steps: steps done and steps in all; 0 where it does not know yet.
        history: steps, seconds and losses of its validations.
        summary: what it said of itself when it ended; empty before.
    """

    state: State
    reason: str
    steps: tuple[int, int]
    history: list[dict[str, float]]
    summary: dict[str, Any]

    @property
    def val_loss(self) -> float | None:
        """At the last validation."""
        return self.history[-1]["val_loss"] if self.history else None


def status(folder: Path, running: bool = False) -> Status:
    """How the job in a folder fares, of its own files alone.

    Args:
        folder: of the job.
        running: its process lives, so that its log is still being written.
    """
    summary, progress = read_json(folder / "summary.json"), read_json(folder / "progress.json")
    history = summary.get("history") or progress.get("history") or []
    steps = int(progress.get("step", summary.get("steps", 0))), int(progress.get("max_steps", 0))
    reason = "" if running else failure(folder / "job.log")
    state: State = "waiting"
    if (folder / "pruned.json").exists():
        state, reason = "pruned", ""
    elif running:
        state = "running"
    elif summary.get("status") == "completed":
        state, reason = "completed", ""
    elif reason or summary.get("status") == "failed":
        state = "failed"
    elif summary or progress or (folder / ".hydra").exists():
        state = "interrupted"
    return Status(state, reason, steps, history, summary)


def read_config(folder: Path) -> dict[str, str]:
    """The config of a run as it was composed: values as text by dotted key; empty where there is none."""
    path = folder / ".hydra" / "config.yaml"
    if not path.exists():
        return {}

    def flat(tree: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
        for key, value in tree.items():
            if isinstance(value, dict) and value:
                yield from flat(value, f"{prefix}{key}.")
            else:
                yield f"{prefix}{key}", "null" if value is None else str(value)

    return dict(flat(OmegaConf.to_container(OmegaConf.load(path))))


def failure(log: Path) -> str:
    """What the last process of a job said when it failed: the line for people, or the end of a traceback."""
    try:
        text = log.read_text(errors="replace")
    except OSError:
        return ""
    last = text.rpartition(f"\n{STARTED}")[2].rstrip()
    if "\nerror: " in last:
        return last.rpartition("\nerror: ")[2]
    if "\nTraceback (most recent call last)" in last:
        return last.splitlines()[-1]
    return ""
