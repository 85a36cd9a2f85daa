"""Imports Lightning without scipy and matplotlib, which saves a quarter of the time until a run starts."""

from importlib.metadata import PackageNotFoundError
from unittest.mock import patch

UNUSED = ("scipy", "matplotlib")  #: torchmetrics imports them for audio and plots, which a run does not need


def import_lightning() -> None:
    """Imports Lightning while torchmetrics cannot find scipy and matplotlib.

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
