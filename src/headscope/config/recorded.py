"""Checks the words that a folder has recorded, before a resume gives them to Hydra.

A folder may come from somebody else. Hydra imports the modules and calls the classes that its own node names, and reads
more config files from the folders that its flags name. A resume therefore uses a recorded word of this kind only if it
is in the short list here. Every other one must be typed again: what a user types is the user's own.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from headscope.config.overrides import TEXTS, is_key, split
from headscope.errors import UserError
from headscope.quoting import shell_command

#: Flags and keys of Hydra that a resume takes from a folder, if the value is a plain word or number.
HARMLESS = {"-m", "--multirun", "hydra.mode", "hydra.verbose", "hydra.job_logging.root.level", "hydra.sweeper.n_trials"}
HARMLESS |= {f"hydra/{group}" for group in ("job_logging", "hydra_logging", "launcher", "sweeper")}
HARMLESS |= {f"hydra.sweeper.{key}" for key in ("seed", "warmup_steps", "batch_size", "tune", "tuning_seed")}
HARMLESS |= {f"hydra.launcher.{key}" for key in ("n_jobs", "gpus_per_job", "name", "partition", "account")}
HARMLESS |= {
    f"hydra.launcher.{key}" for key in ("timeout_min", "max_num_timeout", "nodes", "tasks_per_node", "cpus_per_task")
}
HARMLESS |= {f"hydra.launcher.{key}" for key in ("gpus_per_node", "mem_gb", "array_parallelism")}


def own_words(folder: Path, recorded: Sequence[str], typed: Sequence[str]) -> list[str]:
    """Returns the recorded words that a resume of `folder` may use, without those that were `typed` again.

    Raises `UserError` if a recorded word could name code or a config file, and was not typed again.
    """
    names = {split(word)[0] for word in typed}
    kept, missing = [], []
    for word in recorded:
        if not _can_name_code(word):
            kept.append(word)
        elif not _is_typed_again(split(word)[0], names):
            missing.append(word)
    if missing:
        words = "words that can name" if len(missing) > 1 else "a word that can name"
        rule = "a resume uses only what you type yourself, so check it and add it to the command"
        raise UserError(f"{folder} records {words} code to run; {rule}: {shell_command(missing)}")
    return kept


def _can_name_code(word: str) -> bool:
    key, value = split(word)
    if word.startswith("-") or "hydra" in re.split(r"[@/.]", key):
        return key not in HARMLESS or not re.fullmatch(r"[\w-]*(\.[\w-]+)*", value)
    # The option of a group is the name of a file; with `..` it can be a file outside the config folders.
    is_group = "." not in key.partition("@")[0] and key not in TEXTS and not is_key(key, "train")
    return is_group and (".." in value or "${" in value)


def _is_typed_again(name: str, typed: set[str]) -> bool:
    """Whether a flag or a key, or one above it, was typed. In Python, `hydra.searchpath` replaces `--config-dir`."""
    replacing = {"hydra.searchpath"} if name == "--config-dir" else set()
    return any(f"{name}.".startswith(f"{t}.") for t in typed) or bool(replacing & typed)
