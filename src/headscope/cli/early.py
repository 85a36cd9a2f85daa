"""Refuses wrong options of a run before torch is imported."""

from dataclasses import fields

from omegaconf import DictConfig

from headscope.cli import command
from headscope.config.composed import Composed, plain
from headscope.config.plain_keys import PlainKeys
from headscope.config.schema import parse
from headscope.run.folder import RunFolder, cleaned_up


def refuse_early(cfg: DictConfig) -> None:
    """Raises `UserError` if a key that needs no torch has a wrong value; the run leaves no files."""
    composed = Composed(plain(cfg))
    with cleaned_up(RunFolder(composed.run_dir), command.started):
        parse({f.name: composed.config[f.name] for f in fields(PlainKeys) if f.name in composed.config}, PlainKeys)
