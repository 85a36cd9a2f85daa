"""Rewrites the most common errors from Hydra and OmegaConf as one line with the allowed values."""

import difflib
import re
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from hydra.errors import HydraException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

from headscope.config.composed import known_keys
from headscope.config.overrides import is_group, is_key, split
from headscope.installed import CONF, extra
from headscope.plugins import conf_folders
from headscope.training.options import TrainerOptions


def explain(error: BaseException, script: str | None = None, typed: Sequence[str] | None = None) -> str | None:
    """Returns the message for an error from Hydra or OmegaConf; None for any other error.

    `script` is "train" or "generate" (None: the running script); `typed` are the overrides (None: the command line).
    """
    if isinstance(error, ValueError) and str(error).startswith("Unable to configure"):  # raised by Python's logging
        return f"hydra.job_logging is invalid: {error.__cause__ or error}; leave it out"
    if isinstance(error, ValueError) and re.match(r"The --resolve flag|Only one of --run", str(error)):
        return f"{str(error)[0].lower()}{str(error)[1:]}; --help explains the command"
    wrong_type = isinstance(error, ValueError) and "Config group override" in str(error)
    if not (wrong_type or isinstance(error, HydraException | OmegaConfBaseException)):
        return None
    script, typed = script or Path(sys.argv[0]).stem, sys.argv[1:] if typed is None else typed
    text = " ".join(f"{error} {error.__cause__ or ''}".split())
    if m := re.search(r"Could not (?:find|load) '([\w/]+)/([^/']*)'", text):
        return _no_option(*m.groups())
    if m := re.search(r"Could not override '([\w.]+)'.*Key '\w+' is not in struct", text):
        return _no_key(m[1], script, typed)
    if m := re.search(r"Could not delete from config. '([\w.]+)' does not exist", text):
        is_null = m[1] in _known(script, typed)
        return f"{m[1]} is null; leave ~{m[1]} out" if is_null else _no_key(m[1], script, typed)
    if isinstance(error, OverrideParseException):
        if "=" not in error.override:
            return _no_value(error.override, script)
        if m := re.fullmatch(r"(.*)=np\.\w+\((.*)\)", error.override):
            return f"{error.override} is how Python shows a numpy value; write {m[1]}={m[2]}"
        return f"cannot read {error.override!r}; check its brackets, and put quotes inside quotes: \"key='a, b'\""
    if m := re.search(r"Ambiguous value for argument '(.*?)' 1\.", text):
        return f"the value of {m[1]} has a comma: add -m to sweep over several values, or write a list as [a, b]"
    if "hydra_submitit_launcher" in text:
        return f"hydra/launcher=submitit_slurm needs an extra: {extra('slurm')}"
    return re.split(r" full_key:| object_type=| Config search path| See https?:", text)[0][:300]


def _no_option(group: str, option: str) -> str:
    """Returns the message for an unknown option, such as `position=ropee`."""
    if option == "null":
        return f"{group}=null is not possible; ~{group} leaves the group out"
    names = {file.stem for conf in (CONF, *conf_folders()) for file in conf.glob(f"{group}/*.yaml")}
    options = sorted(names, key=lambda name: [int(s) if s.isdigit() else s for s in re.split(r"(\d+)", name)])
    meant = "".join(f"did you mean {group}={near}? " for near in difflib.get_close_matches(option, options, n=1))
    return f"there is no {group}={option}; {meant}conf/{group} has {', '.join(options)}"


def _no_value(typed: str, script: str) -> str:
    """Returns the message for a word without `=`, as in `train.py quickstart` or `generate.py to be or not`."""
    if script == "generate":
        if is_key(typed, script):
            return f"{typed!r} has no value; write {typed}=…, or prompt={typed} if this word is the prompt"
        return f"{typed!r} is not KEY=VALUE; put quotes around the whole prompt: prompt='{typed} …'"
    files = (file for conf in (CONF, *conf_folders()) for file in sorted(conf.glob(f"*/{typed}.yaml")))
    meant = " or ".join(f"{file.parent.name}={typed}" for file in files)
    return f"{typed!r} has no value; write {meant or 'KEY=VALUE, as --help shows'}"


def _no_key(key: str, script: str, typed: Sequence[str]) -> str:
    """Returns the message for an unknown key, with the key that was probably meant."""
    from headscope.config.schema import unknown_key  # imports pydantic, which --help does not need

    addable = [f"trainer.{f.name}" for f in fields(TrainerOptions)] if script == "train" else []
    if key in addable:
        return f"{key} is not in conf/trainer; add it with +, as in +{key}=…"
    if reason := TrainerOptions.REFUSED.get(key.removeprefix("trainer.")) if key.startswith("trainer.") else None:
        return f"{key} cannot be set: {reason}"
    known = _known(script, typed)
    if key in known:  # the config has the key, so only some options of a sweep lack it
        return f"some of the swept options do not have the key {key}; use a separate sweep for the options that have it"
    parents = dict.fromkeys(k.rpartition(".")[0] for k in known if "." in k)
    groups = sorted({file.parent.name for file in CONF.glob("*/*.yaml")}) if script == "train" else []
    return unknown_key(key, [*groups, *parents, *known, *addable, "prompt", "resume"])


def _known(script: str, typed: Sequence[str]) -> dict[str, Any]:
    """Returns the keys of a script's config with the typed options of groups, and their values."""
    options = [word for word in typed if is_group(split(word)[0]) and split(word)[1] and "," not in word]
    options += [word for word in typed if word.startswith("--config-dir=")]
    return known_keys(script, options if script == "train" else [])
