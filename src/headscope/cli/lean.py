"""Lightning without what its dependency torchmetrics loads for sound and plots, a quarter of the time until a run."""

from importlib.metadata import PackageNotFoundError
from unittest.mock import patch

UNUSED = ("scipy", "matplotlib")  #: by torchmetrics; what we use of them is imported where it is used


def import_lightning() -> None:
    """Imports Lightning while torchmetrics cannot find scipy and matplotlib, which it would import if it could.

    It asks two functions of lightning_utilities, of which the second has no public name; a test fails if they change.
    """
    from lightning_utilities.core import imports

    available, version = imports.package_available, imports._version  # type: ignore[attr-defined]

    def seen_version(package: str) -> str:
        if package in UNUSED:
            raise PackageNotFoundError(package)
        return version(package)

    with (
        patch.object(imports, "package_available", lambda package: package not in UNUSED and available(package)),
        patch.object(imports, "_version", seen_version),
    ):
        import lightning  # noqa: F401
