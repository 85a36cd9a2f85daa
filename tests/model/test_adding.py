"""The example scheme of CONTRIBUTING needs only its three files, and passes every test of a scheme."""

import re
import shutil
import subprocess
import sys

import pytest

from tests.conftest import ROOT

PLACES = {  # in the order of CONTRIBUTING
    "src/headscope/model/position/biases.py": "\n\n",
    "conf/position/window.yaml": "",
    "tests/model/schemes.py": "\n",
}


@pytest.mark.slow
def test_a_scheme_takes_exactly_three_files(tmp_path):
    text = (ROOT / "CONTRIBUTING.md").read_text()
    section = text.partition("### A positional scheme")[2].partition("\n## ")[0]
    blocks = re.findall(r"```\w+\n(.*?)```", section, re.DOTALL)
    for name in ("src", "conf", "tests", "pyproject.toml", "train.py", "generate.py"):
        take = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        take(ROOT / name, tmp_path / name)
    for (place, gap), block in zip(PLACES.items(), blocks, strict=True):
        assert place in section
        with (tmp_path / place).open("a") as file:
            file.write(gap + block)
    run = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", "-k", "window or row"]
    run += ["tests/model/test_position.py", "tests/model/test_transformer.py", "tests/portable/test_description.py"]
    run += ["tests/heads/test_capture.py", "tests/checkpoint/test_checkpoint.py", "tests/generation/test_decode.py"]
    env = {"PYTHONPATH": f"{tmp_path / 'src'}", "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(run, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
    passed = int(re.search(r"(\d+) passed", done.stdout)[1]) if "passed" in done.stdout else done.stdout.count(".")
    assert passed >= 20, done.stdout
    train = "train.py position=window position.width=4 data=pydoc trainer.max_steps=2 model.n_layers=1 callbacks=none"
    done = subprocess.run([sys.executable, *train.split(), "logger=none"], cwd=tmp_path, env=env, capture_output=True)
    assert done.returncode == 0, done.stderr
