"""Hydra's and OmegaConf's errors in one line, with what is allowed."""

import re
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

from hydra.errors import OverrideParseException
from omegaconf import OmegaConf

from headscope.config.composed import composed
from headscope.config.leaves import flat
from headscope.config.mistakes import unknown_key
from headscope.config.overrides import is_key
from headscope.installed import CONF, command, extra
from headscope.plugins import conf_folders
from headscope.training.options import TrainerOptions


def explain(error: Exception, script: str | None = None, typed: Sequence[str] | None = None) -> str:
    """A composition error as a line for people.

    Args:
        error: Hydra's or OmegaConf's.
        script: the name of the config, train or generate; None is that of the script that was started.
        typed: the overrides; None is the command line.
    """
    script, typed = script or Path(sys.argv[0]).stem, sys.argv[1:] if typed is None else typed
    text = " ".join(f"{error} {error.__cause__ or ''}".split())
    if m := re.search(r"Could not (?:find|load) '([\w/]+)/([^/']*)'(?:.*?Available options in '[\w/]+': (.*))?", text):
        group, option, options = m.groups()
        if options is None:  # Hydra lists none for one of several, as in logger=[csv,foo]
            options = " ".join({file.stem for conf in (CONF, *conf_folders()) for file in conf.glob(f"{group}/*.yaml")})
        if option == "null":
            return f"{group}=null is not possible; ~{group} leaves the group out"
        names = re.findall(r"[\w.-]+", options.split(" Config search path")[0])
        names.sort(key=lambda name: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)])
        return f"there is no {group}={option}; conf/{group} has {', '.join(names)}"
    if m := re.search(r"Could not override '([\w.]+)'.*Key '\w+' is not in struct", text):
        return nearest(m[1], script, typed)
    if m := re.search(r"Could not override '([\w/]+)'\. No match in the defaults list", text):
        return f"there is no group {m[1]} to choose from; {command('train')} --help lists the groups"
    if m := re.search(r"Config group override must be a string", text):
        return "an option's name cannot be a number"
    if isinstance(error, OverrideParseException) and "=" not in error.override:
        return _no_value(error.override, script)
    if isinstance(error, OverrideParseException):
        return f"cannot read {error.override!r}; check its brackets, and put quotes inside quotes: \"key='a, b'\""
    if m := re.search(r"Ambiguous value for argument '(.*?)' 1\.", text):
        return f"{m[1]} has a comma: add -m for a sweep over its values, or write a list as [a, b]"
    if "hydra_submitit_launcher" in text:
        return f"hydra/launcher=submitit_slurm needs an extra: {extra('slurm')}"
    if m := re.search(r"Environment variable '(\w+)' not found", text):
        return f"the environment variable {m[1]} is not set; quote the text in single quotes to keep ${{}} as it is"
    return re.sub(r" full_key: \S*| object_type=\S*| Config search path.*| See https?\S*", "", text)[:300]


def _no_value(typed: str, script: str) -> str:
    """`train.py quickstart`, `generate.py to be or not`."""
    if script == "generate" and is_key(typed, script):
        return f"{typed!r} has no value; write {typed}=…, or prompt={typed} if that is the prompt"
    if script == "generate":
        return f"{typed!r} has no key; put quotes around a whole prompt: prompt='{typed} …'"
    groups = [file.parent.name for conf in (CONF, *conf_folders()) for file in sorted(conf.glob(f"*/{typed}.yaml"))]
    meant = " or ".join(f"{group}={typed}" for group in groups)
    return f"{typed!r} has no value; write " + (meant or "KEY=VALUE, as --help shows")


def nearest(key: str, script: str, typed: Sequence[str]) -> str:
    """One line on an unknown key, naming the key that was probably meant."""
    addable = [f"trainer.{f.name}" for f in fields(TrainerOptions)] if script == "train" else []
    if key in addable:
        return f"{key} is not in conf/trainer; add it with a +, as in +{key}=…"
    if reason := TrainerOptions.REFUSED.get(key.removeprefix("trainer.")) if key.startswith("trainer.") else None:
        return f"{key} cannot be set: {reason}"
    groups = [a for a in typed if re.fullmatch(r"\+*[\w/]+=[^,]*", a) and not a.startswith(f"{key}=")]
    cfg = composed(script, groups)
    tree = cast(dict[str, Any], OmegaConf.to_container(cfg))
    known = [k for k in flat(tree) if not k.startswith("hydra.")]
    if key in known:  # with the defaults, but not with every option that is swept
        return f"not every option that is swept has the key {key}; sweep those that have it in a sweep of their own"
    return str(unknown_key(key, [*known, *addable, "prompt", "resume"]))
