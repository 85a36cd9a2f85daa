"""The context of a run: what a command gives to Hydra itself, such as `--config-dir` and `hydra.job.env_set`.

Hydra records none of it with the overrides of a job. Headscope passes it to the jobs of a sweep and records it with the
overrides, because the same overrides can mean something else in another context.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headscope.config.overrides import expand_home, split
from headscope.errors import UserError
from headscope.installed import CONF

#: Hydra's flags that take a value, by each of their names.
VALUED = {"-cp": "--config-path", "-cn": "--config-name", "-cd": "--config-dir", "-p": "--package", "-c": "--cfg"}
VALUED |= {name: name for name in VALUED.values()}
FOLDERS = {"--config-dir", "--config-path"}
CONFIGS = {*FOLDERS, "--config-name"}  #: flags that choose config files; the others print something
#: Keys of Hydra that belong to one command or to a sweep, not to each of its jobs.
OF_A_COMMAND = (
    *("hydra.run", "hydra.sweep", "hydra.mode", "hydra.sweeper", "hydra.launcher", "hydra.callbacks.record"),
    *("hydra.job.name", "hydra.help", "hydra.hydra_help", "hydra.overrides", "hydra.runtime"),
)


def flags_first(arguments: Sequence[str]) -> list[str]:
    """Returns the arguments with the flags first, because Hydra's parser refuses overrides on both sides of a flag.

    A flag and its value become one word, and the path of a folder becomes absolute. Raises `UserError` if a flag has no
    value but needs one.
    """
    flags, others, rest = [], [], iter(arguments)
    for word in rest:
        name, equals, value = word.partition("=")
        if not word.startswith("-"):
            others.append(word)
            continue
        if name in VALUED and not equals:
            value, equals = next(rest, ""), "="
        name = VALUED.get(name, name)
        if equals and not value:
            raise UserError(f"{name} has no value; write {name}=…")
        if name in FOLDERS and equals:
            value = str(Path(expand_home(value)).absolute())
        flags.append(f"{name}{equals}{value}")
    return [
        *sorted(flags, key=lambda flag: flag in ("-i", "--info")),
        *others,
    ]  # its value may be the first of `others`


def context(hydra: Any) -> list[str]:
    """Returns the words that give the context of a job to another command, from `hydra`, Hydra's own node."""
    found = []
    for source in hydra.runtime.config_sources:
        if source.provider == "command-line":
            found.append(f"--config-dir={source.path}")
        if source.provider == "main" and Path(source.path).resolve() != CONF.resolve():
            found.append(f"--config-path={source.path}")
    if hydra.job.config_name not in ("train", "generate"):
        found.append(f"--config-name={hydra.job.config_name}")
    return [*found, *(o for o in hydra.overrides.hydra if not _is_of_a_command(split(o)[0]))]


def _is_of_a_command(key: str) -> bool:
    return any(f"{key.replace('/', '.')}.".startswith(f"{name}.") for name in OF_A_COMMAND)
