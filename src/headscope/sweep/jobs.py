"""The jobs of a sweep: what each is, which the manifest says, and how it fares, which its own files say.

This room reads files and starts processes; it imports no torch, so that a sweep's own process stays small.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from headscope.errors import UserError
from headscope.files import write_atomically
from headscope.run.folder import RunFolder

MANIFEST = "sweep.json"
LONGEST_NAME = 60


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
            return Manifest(
                (), tuple(Job(p.parent.name, tuple(RunFolder(p.parent).summary().get("overrides", ()))) for p in runs)
            )
        except (OSError, ValueError, KeyError, TypeError) as e:
            raise UserError(f"{folder / MANIFEST} is damaged ({type(e).__name__}); start the sweep anew") from e


def known_jobs(folder: Path) -> tuple[Job, ...]:
    """The jobs of the sweep in a folder; none where none was started."""
    return Manifest.read(folder).jobs if (folder / MANIFEST).exists() else ()
