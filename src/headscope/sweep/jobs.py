"""The jobs of a sweep: their names and overrides, the manifest that lists them, and the lock of the sweep's folder.

Imports no torch, so that the main process of a sweep stays small.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from headscope.config.overrides import split
from headscope.errors import UserError
from headscope.files import write_json
from headscope.run import lock
from headscope.run.folder import RunFolder, is_resumed
from headscope.shell import argument

MANIFEST = "sweep.json"
LONGEST_NAME = 60

sweep_folders: list[Path] = []  #: folders of this process's sweeps; filled by `hydra_plugins.headscope.Record`
resumed: list[str] = []  #: the folder in `resume=DIR`, if any; filled by `hydra_plugins.headscope.Record`
_launched: dict[Path, list["Job"]] = {}  # the jobs that this process launched, by the folder that it has locked


@dataclass(frozen=True)
class Job:
    """One run of a sweep."""

    name: str  #: the name of its folder
    overrides: tuple[str, ...]  #: each `key=value`
    trial: bool = False  #: whether the run only helps to choose a value; reports do not count trials as samples

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
    """Returns a short name such as `03-rope-lr0.003-s1`, where s1 means seed=1."""
    labels = [f"s{value}" if key == "seed" else value_label(key, value) for key, value in values.items()]
    parts = [f"{number:0{width}}", *(re.sub(r"[^\w.-]+", "", label) for label in labels)]
    return "-".join(filter(None, parts))[:LONGEST_NAME].rstrip("-.")


def value_label(key: str, value: str) -> str:
    """Returns a short label for an override: the value, with the key if it is a number, as in `lr 0.003`."""
    if re.match(r"[-+.\d\[]|(null|true|false)$", value):
        return f"{key.rpartition('.')[2]} {short_number(value)}"
    return value


def short_number(value: str) -> str:
    """Rounds a number with a point or an exponent to four significant digits; returns other text unchanged."""
    return f"{float(value):.4g}" if re.fullmatch(r"-?\d*\.\d+(e-?\d+)?|-?\d+e-?\d+", value) else value


@dataclass(frozen=True)
class Manifest:
    """The file that lists the jobs of a sweep; written before the first job starts and whenever jobs are added."""

    command: tuple[str, ...]  #: the arguments of train.py
    jobs: tuple[Job, ...]
    keys: tuple[str, ...] = ()  #: two jobs with the same values of these keys are the same job

    def write(self, folder: Path) -> None:
        """Saves the manifest in a sweep's folder."""
        content = {"command": self.command, "swept": self.keys, "jobs": [asdict(job) for job in self.jobs]}
        write_json(folder / MANIFEST, content)

    @staticmethod
    def read(folder: Path) -> "Manifest":
        """Returns the manifest of a sweep; if another sweeper wrote none, derives it from the runs' folders."""
        try:
            content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            jobs = tuple(Job(j["name"], tuple(j["overrides"]), j.get("trial", False)) for j in content["jobs"])
            if any(Path(job.name).name != job.name for job in jobs):
                raise ValueError("a job's folder is outside the sweep's folder")
            return Manifest(tuple(map(str, content["command"])), jobs, tuple(content["swept"]))
        except FileNotFoundError:
            runs = [RunFolder(p) for p in sorted(folder.glob("*/"), key=lambda p: (len(p.name), p.name))]
            started = {run.path.name: run.overrides() for run in runs if run.started}
            # A job that failed early did not record the words for Hydra, which would therefore seem to be swept.
            own = {name: [o for o in words if not re.match(r"-|[+~]*hydra", o)] for name, words in started.items()}
            jobs = tuple(Job(name, tuple(overrides)) for name, overrides in own.items())
            if not jobs:
                raise UserError(f"{folder} contains no sweep; use the folder of a sweep (hydra.sweep.dir)") from None
            return Manifest((), jobs, tuple(swept_keys(jobs)))
        except (OSError, ValueError, KeyError, TypeError) as e:
            raise UserError(f"{folder / MANIFEST} is damaged ({type(e).__name__}); start a new sweep") from e

    @staticmethod
    def so_far(folder: Path) -> "Manifest":
        """Returns the manifest of a sweep, or an empty one if the sweep has not started yet."""
        return Manifest.read(folder) if (folder / MANIFEST).exists() else Manifest((), ())


def claim_folder(folder: Path) -> list[Job]:
    """Locks a sweep's folder until this process ends; later calls, for Hydra's next batches, have no further effect.

    Returns the list of jobs that this process has launched in the folder; the caller appends to it. Raises `UserError`
    if another process owns the folder, or if a sweep may not start or continue there.
    """
    here = folder.resolve()
    if here in _launched:
        return _launched[here]
    if here == Path.cwd():
        raise UserError("hydra.sweep.dir is the current folder; choose a separate one, such as outputs/NAME")
    lock.acquire(folder)
    manifest = folder / MANIFEST
    is_new = not is_resumed(folder, manifest, resumed[-1] if resumed else None)
    if RunFolder(folder).occupied or (manifest.exists() and is_new):
        lock.release(folder)
        again = argument("resume=", folder)
        raise UserError(f"{folder} already contains results; resume them with {again}, or choose another folder")
    return _launched.setdefault(here, [])


def append_to_log(run: RunFolder, line: str) -> None:
    """Adds a line to the log of a job, after a line break, because the log's last line may be incomplete."""
    run.path.mkdir(parents=True, exist_ok=True)
    with run.job_log.open("a", encoding="utf-8") as log:
        log.write(f"\n{line}\n")
