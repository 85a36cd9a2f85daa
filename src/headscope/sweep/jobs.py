"""The jobs of a sweep: their names and overrides, the manifest that lists them, and the owner of the sweep's folder.

Imports no torch, so that a sweep's own process stays small.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from headscope.config.overrides import split
from headscope.errors import UserError
from headscope.files import write_json
from headscope.run.folder import Lock, RunFolder, is_resumed
from headscope.shell import argument

MANIFEST = "sweep.json"
LONGEST_NAME = 60

begun: list[Path] = []  #: folders of sweeps that this process has begun; filled by `hydra_plugins.headscope.Record`
resumed: list[str] = []  #: the folder in `resume=DIR`, if it was given; filled by `hydra_plugins.headscope.Record`
_launched: dict[Path, list["Job"]] = {}  # folders that this process owns until it ends, and the jobs launched there


@dataclass(frozen=True)
class Job:
    """One run of a sweep."""

    name: str  #: of its folder
    overrides: tuple[str, ...]  #: `key=value` each
    trial: bool = False  #: only helps to choose a value; reports do not count it as a sample

    @property
    def values(self) -> dict[str, str]:
        """The overrides by key."""
        return dict(split(o) for o in self.overrides)

    def run(self, folder: Path) -> RunFolder:
        """Returns the folder of this job's run, inside the sweep's folder."""
        return RunFolder(folder / self.name)


def swept_keys(jobs: Sequence[Job]) -> list[str]:
    """Returns the keys whose values differ between jobs, in the order of the overrides."""
    keys = dict.fromkeys(key for job in jobs for key in job.values)
    return [key for key in keys if len({job.values.get(key) for job in jobs}) > 1]


def folder_name(number: int, values: dict[str, str], width: int = 2) -> str:
    """Returns a short readable name such as `03-rope-s1`, with s1 for seed=1 and `lr0.003` for other numbers."""
    labels = [f"s{value}" if key == "seed" else value_label(key, value) for key, value in values.items()]
    parts = [f"{number:0{width}}", *(re.sub(r"[^\w.-]+", "", label) for label in labels)]
    return "-".join(filter(None, parts))[:LONGEST_NAME].rstrip("-.")


def value_label(key: str, value: str) -> str:
    """Returns a short label for an override: the value, and for a number also the key's last part, `lr 0.003`."""
    if re.match(r"[-+.\d\[]|(null|true|false)$", value):
        return f"{key.rpartition('.')[2]} {short_number(value)}"
    return value


def short_number(value: str) -> str:
    """Returns a number with at most four digits; any other text unchanged."""
    return f"{float(value):.4g}" if re.fullmatch(r"-?\d*\.\d+(e-?\d+)?|-?\d+e-?\d+", value) else value


@dataclass(frozen=True)
class Manifest:
    """The file that lists the jobs of a sweep; written before the first job starts and whenever jobs are added."""

    command: tuple[str, ...]  #: the arguments of `train.py`
    jobs: tuple[Job, ...]
    keys: tuple[str, ...] = ()  #: a job of a resumed sweep is an earlier job if it agrees in these keys

    def write(self, folder: Path) -> None:
        """Saves the manifest in a sweep's folder."""
        content = {"command": self.command, "swept": self.keys, "jobs": [asdict(job) for job in self.jobs]}
        write_json(folder / MANIFEST, content)

    @staticmethod
    def read(folder: Path) -> "Manifest":
        """Returns the manifest of a sweep; if another sweeper wrote none, derives it from the folders of the runs."""
        try:
            content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            jobs = tuple(Job(j["name"], tuple(j["overrides"]), j.get("trial", False)) for j in content["jobs"])
            return Manifest(tuple(content["command"]), jobs, tuple(content["swept"]))
        except FileNotFoundError:
            runs = [RunFolder(p) for p in sorted(folder.glob("*/"), key=lambda p: (len(p.name), p.name))]
            jobs = tuple(Job(run.path.name, tuple(run.overrides())) for run in runs if run.started)
            if not jobs:
                raise UserError(f"{folder} holds no sweep; give a sweep's folder, hydra.sweep.dir") from None
            return Manifest((), jobs, tuple(swept_keys(jobs)))
        except (OSError, ValueError, KeyError, TypeError) as e:
            raise UserError(f"{folder / MANIFEST} is damaged ({type(e).__name__}); start a new sweep") from e

    @staticmethod
    def so_far(folder: Path) -> "Manifest":
        """Returns the manifest of a sweep, which is empty if the sweep has not started yet."""
        return Manifest.read(folder) if (folder / MANIFEST).exists() else Manifest((), ())


def own(folder: Path) -> list[Job]:
    """Locks a sweep's folder for this process until it ends; a second call, for Hydra's next batch, changes nothing.

    Returns the jobs that this process has launched in the folder, a list to which the caller adds. Raises `UserError`
    if another process owns the folder, or a sweep may not start or continue there.
    """
    here = folder.resolve()
    if here in _launched:
        return _launched[here]
    if here == Path.cwd():
        raise UserError("hydra.sweep.dir is the current folder; choose one of its own, such as outputs/NAME")
    lock = Lock(folder)
    lock.acquire()
    manifest = folder / MANIFEST
    if RunFolder(folder).occupied or (
        manifest.exists() and not is_resumed(folder, manifest, resumed[-1] if resumed else None)
    ):
        lock.release()
        again = argument("resume=", folder)
        raise UserError(f"{folder} holds results already; resume them with {again}, or choose another folder")
    return _launched.setdefault(here, [])


def append_to_log(run: RunFolder, line: str) -> None:
    """Adds a line to the log of a job; a blank line before it ends an earlier line that was cut off."""
    run.path.mkdir(parents=True, exist_ok=True)
    with run.job_log.open("a", encoding="utf-8") as log:
        log.write(f"\n{line}\n")
