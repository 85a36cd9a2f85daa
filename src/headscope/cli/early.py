"""What train.py does before torch is imported: refuses wrong options, and imports Lightning without scipy."""

from dataclasses import fields
from importlib.metadata import PackageNotFoundError
from unittest.mock import patch

from omegaconf import DictConfig

from headscope.cli import command
from headscope.config.composed import Composed, plain
from headscope.config.plain_keys import PlainKeys
from headscope.config.schema import parse
from headscope.run.folder import RunFolder, cleaned_up

UNUSED = ("scipy", "matplotlib")  #: torchmetrics imports them for audio and plots, which a run does not need


def refuse_early(cfg: DictConfig) -> None:
    """Raises `UserError` if a key that needs no torch has a wrong value; the run leaves no files."""
    composed = Composed(plain(cfg))
    with cleaned_up(RunFolder(composed.run_dir), command.started):
        parse({f.name: composed.config[f.name] for f in fields(PlainKeys) if f.name in composed.config}, PlainKeys)


def import_lightning() -> None:
    """Imports Lightning without `UNUSED`, which saves a quarter of the time until a run starts.

    torchmetrics looks for them with `package_available` and `_version` from lightning_utilities; a test fails if
    `_version`, which is private, changes.
    """
    from lightning_utilities.core import imports

    available, version = imports.package_available, imports._version  # type: ignore[attr-defined]

    def version_if_used(package: str) -> str:
        if package in UNUSED:
            raise PackageNotFoundError(package)
        return version(package)

    with (
        patch.object(imports, "package_available", lambda package: package not in UNUSED and available(package)),
        patch.object(imports, "_version", version_if_used),
    ):
        import lightning  # noqa: F401
