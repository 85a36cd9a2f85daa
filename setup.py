"""Copies train.py, generate.py and conf/ into the wheel as headscope/scripts/; everything else is in pyproject.toml.

An editable install needs no copies, because `headscope.installed` finds the originals.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent


class WithScripts(build_py):
    """Copies the packages, then the scripts."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            scripts = Path(self.build_lib) / "headscope" / "scripts"
            shutil.rmtree(scripts, ignore_errors=True)
            shutil.copytree(HERE / "conf", scripts / "conf", ignore=shutil.ignore_patterns("__pycache__"))
            for name in ("train.py", "generate.py"):
                shutil.copy(HERE / name, scripts)


setup(cmdclass={"build_py": WithScripts})
