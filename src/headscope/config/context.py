"""The words of a command that are for Hydra itself: its flags, and keys such as `hydra.job.env_set`.

The same overrides can mean something else without them, so the jobs of a sweep get them and runs record them. They can
run code, and a folder may come from somebody else, so a resume uses a recorded one only if it is in a short list here.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headscope.config.overrides import TEXTS, expand_home, is_below, is_key, split
from headscope.errors import UserError
from headscope.installed import CONF
from headscope.shell import shell_command

#: The names of Hydra's flags that take a value.
VALUED = {"-cp": "--config-path", "-cn": "--config-name", "-cd": "--config-dir", "-p": "--package", "-c": "--cfg"}
FOLDERS = {"--config-dir", "--config-path"}
CONFIGS = {*FOLDERS, "--config-name"}  #: flags that choose config files; the others print something

#: Keys that belong to one command or to a sweep, not to each of its jobs.
OF_A_COMMAND = {"hydra.run", "hydra.sweep", "hydra.mode", "hydra.sweeper", "hydra.launcher", "hydra.job.name"}
OF_A_COMMAND |= {"hydra.callbacks.record"}

_SWEEPER = "n_trials seed warmup_steps batch_size tune tuning_seed"
_LAUNCHER = "n_jobs gpus_per_job name partition account timeout_min max_num_timeout nodes tasks_per_node cpus_per_task"
_LAUNCHER += " gpus_per_node mem_gb array_parallelism"
#: Flags and keys that a resume takes from a folder, if the value is a plain word or number.
HARMLESS = {"-m", "--multirun", "hydra.mode", "hydra.verbose", "hydra.job_logging.root.level"}
HARMLESS |= {f"hydra/{group}" for group in ("job_logging", "hydra_logging", "launcher", "sweeper")}
HARMLESS |= {f"hydra.sweeper.{key}" for key in _SWEEPER.split()}
HARMLESS |= {f"hydra.launcher.{key}" for key in _LAUNCHER.split()}


def flags_first(arguments: Sequence[str]) -> list[str]:
    """Returns the arguments with the flags first, because Hydra's parser refuses overrides on both sides of a flag.

    A flag and its value become one word, and the path of a folder becomes absolute.
    """
    flags, others, rest = [], [], iter(arguments)
    for word in rest:
        name, _, value = word.partition("=")
        name = VALUED.get(name, name)
        if not word.startswith("-"):
            others.append(word)
        elif name not in VALUED.values():
            flags.append(word)
        elif not (value := value or ("" if "=" in word else next(rest, ""))):
            raise UserError(f"{name} has no value; write {name}=…")
        else:
            flags.append(f"{name}={Path(expand_home(value)).absolute() if name in FOLDERS else value}")
    return [*flags, *others]


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
    of_jobs = (o for o in hydra.overrides.hydra if not is_below(split(o)[0].replace("/", "."), OF_A_COMMAND))
    return [*found, *of_jobs]


def own_words(folder: Path, recorded: Sequence[str], typed: Sequence[str]) -> list[str]:
    """Returns the recorded words that a resume of `folder` may use, without those that were `typed` again.

    Raises `UserError` if a recorded word could run code or read the environment, and was not typed again.
    """
    names = {split(word)[0] for word in typed}
    if "hydra.searchpath" in names:  # replaces the flag in Python
        names.add("--config-dir")
    risky = [word for word in recorded if _can_name_code(word)]
    if missing := [word for word in risky if not is_below(split(word)[0], names)]:
        words = "words that can" if len(missing) > 1 else "a word that can"
        rule = "a resume uses only what you type yourself, so check it and add it to the command"
        raise UserError(f"{folder} records {words} run code or read the environment; {rule}: {shell_command(missing)}")
    return [word for word in recorded if word not in risky]


def _can_name_code(word: str) -> bool:
    key, value = split(word)
    if word.startswith("-") or "hydra" in re.split(r"[@/.]", key):
        return key not in HARMLESS or not re.fullmatch(r"[\w-]*(\.[\w-]+)*", value)
    if re.search(r"\$\{[^}]*:", value):  # a resolver, which can read the environment or create a folder
        return True
    # The option of a group is the name of a file; with `..` it can be a file outside the config folders.
    is_group = "." not in key.partition("@")[0] and key not in TEXTS and not is_key(key, "train")
    return is_group and (".." in value or "${" in value)
