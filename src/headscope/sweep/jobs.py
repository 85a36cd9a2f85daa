"""The jobs of a sweep: their names, their overrides, the manifest that lists them, and who owns their folder.

Imports no torch, so that a sweep's own process stays small.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from headscope.config.overrides import split
from headscope.errors import UserError
from headscope.files import write_atomically
from headscope.run.folder import RunFolder, is_resumed
from headscope.run.lock import Lock
from headscope.shell import argument

MANIFEST = "sweep.json"
LONGEST_NAME = 60

begun: list[Path] = []  #: the folder of the sweep that this process runs: see `hydra_plugins.headscope.Record`
resumed: list[str] = []  #: the folder that `resume=DIR` named, if any: see `hydra_plugins.headscope.Record`
_launched: dict[Path, list["Job"]] = {}  # by this process, in the folders that it owns until it ends


@dataclass(frozen=True)
class Job:
    """One run of a sweep.

    Args:
        name: of its folder.
        overrides: `key=value` each.
        trial: it only helps to choose a value, and is no sample of what the sweep compares.
    """

    name: str
    overrides: tuple[str, ...]
    trial: bool = False

    @property
    def values(self) -> dict[str, str]:
        """Its overrides by key."""
        return dict(split(o) for o in self.overrides)


def swept(jobs: Sequence[Job]) -> list[str]:
    """The keys whose values differ between jobs, in the order in which they were given."""
    keys = dict.fromkeys(key for job in jobs for key in job.values)
    return [key for key in keys if len({job.values.get(key) for job in jobs}) > 1]


def named(number: int, values: dict[str, str], width: int = 2) -> str:
    """A short readable folder name, `03-rope-s1`: the seed as s1, other numbers after the last part of their key."""
    parts = [f"{number:0{width}}"]
    for key, value in values.items():
        text = f"s{value}" if key == "seed" else said(key, value)
        parts.append(re.sub(r"[^\w.-]+", "", text))
    return "-".join(filter(None, parts))[:LONGEST_NAME].rstrip("-.")


def said(key: str, value: str) -> str:
    """A value in few words; a number after the last part of its key: `lr 0.003`."""
    if re.match(r"[-+.\d\[]|(null|true|false)$", value):
        return f"{key.rpartition('.')[2]} {shortened(value)}"
    return value


def shortened(value: str) -> str:
    """A number with at most four digits; anything else unchanged."""
    return f"{float(value):.4g}" if re.fullmatch(r"-?\d*\.\d+(e-?\d+)?|-?\d+e-?\d+", value) else value


@dataclass(frozen=True)
class Manifest:
    """What a sweep is: written before its first job starts, and again whenever jobs are added.

    Args:
        command: what was typed after `train.py`.
        jobs: all of them.
        keys: by whose values the jobs are told apart when the sweep is resumed.
    """

    command: tuple[str, ...]
    jobs: tuple[Job, ...]
    keys: tuple[str, ...] = ()

    def write(self, folder: Path) -> None:
        """Saves it in a sweep's folder."""
        content = {"command": self.command, "swept": self.keys, "jobs": [asdict(job) for job in self.jobs]}
        write_atomically(folder / MANIFEST, json.dumps(content, indent=2).encode())

    @staticmethod
    def read(folder: Path) -> "Manifest":
        """The manifest of a sweep; if another sweeper wrote none, one made of what its runs recorded.

        Raises:
            UserError: there is no sweep in that folder.
        """
        try:
            content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            jobs = tuple(Job(j["name"], tuple(j["overrides"]), j.get("trial", False)) for j in content["jobs"])
            return Manifest(tuple(content["command"]), jobs, tuple(content["swept"]))
        except FileNotFoundError:
            runs = [RunFolder(p) for p in sorted(folder.glob("*/"), key=lambda p: (len(p.name), p.name))]
            jobs = tuple(Job(run.path.name, tuple(run.overrides())) for run in runs if run.started)
            if not jobs:
                raise UserError(f"{folder} holds no sweep; give a sweep's folder, hydra.sweep.dir") from None
            return Manifest((), jobs, tuple(swept(jobs)))
        except (OSError, ValueError, KeyError, TypeError) as e:
            raise UserError(f"{folder / MANIFEST} is damaged ({type(e).__name__}); start a new sweep") from e


def known(folder: Path) -> Manifest:
    """The manifest of a sweep that may not have started yet."""
    return Manifest.read(folder) if (folder / MANIFEST).exists() else Manifest((), ())


def own(folder: Path) -> list[Job]:
    """Takes a sweep's folder for this process until it ends; taking it again, for Hydra's next batch, is once.

    Returns:
        The jobs that this process has launched there, to which its caller adds.

    Raises:
        UserError: another process owns it, or a sweep may not start or continue there.
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


def note(folder: Path, line: str) -> None:
    """Adds a line to the log of a job, on a line of its own even if the last one was cut off."""
    folder.mkdir(parents=True, exist_ok=True)
    with RunFolder(folder).job_log.open("a", encoding="utf-8") as log:
        log.write(f"\n{line}\n")
