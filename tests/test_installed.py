"""The wheel works in a new environment and an empty folder, and the command `headscope` also works in a checkout."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from headscope import installed
from tests.conftest import ROOT, shell
from tests.test_plugins import shown, write_shown

TINY = (
    *("data=pydoc", "model.n_layers=1", "model.d_model=32", "model.n_heads=2", "model.block_size=16"),
    *("trainer.max_steps=4", "trainer.val_check_interval=2", "trainer.threads=1", "callbacks=none"),
)
BUILT_FROM = ("src", "conf", "train.py", "generate.py", "setup.py", "MANIFEST.in", "pyproject.toml")
BUILT_FROM += ("README.md", "LICENSE")
#: Environment variables of a process without any reference to this checkout.
CLEAN = {k: v for k, v in os.environ.items() if k != "PYTHONPATH" and not k.startswith("HEADSCOPE_")}


def checked(*command, **options):
    done = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300,
        **{"env": CLEAN, **options},
    )  # fmt: skip
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done


PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")


def environment(folder, package):
    """Creates an environment with this package and the dependencies of the tests; returns its site-packages folder.

    Python searches a folder that a .pth file names, but does not read .pth files in it, so this checkout is not found.
    """
    checked(sys.executable, "-m", "venv", "--without-pip", folder)
    site = Path(
        checked(folder / "bin" / "python", "-c", "import site; print(site.getsitepackages()[0])").stdout.strip()
    )
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    checked(*PIP, "--python", folder / "bin" / "python", "install", "--no-index", "--no-deps", *package)
    return site


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Copies the files that a wheel is built from, because building adds files to their folder."""
    folder = tmp_path_factory.mktemp("source")
    for name in BUILT_FROM:
        whole = ROOT / name
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(whole, folder / name, ignore=ignored) if whole.is_dir() else shutil.copy(whole, folder)
    return folder


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    checked(*PIP, "wheel", "--no-index", "--no-build-isolation", "--no-deps", "--wheel-dir", folder, source)
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def new(wheel, tmp_path_factory):
    """Returns functions and paths for calling the installed command in an empty folder."""
    place = tmp_path_factory.mktemp("new")
    site = environment(place / "env", [wheel])
    here = place / "here"
    here.mkdir()

    def headscope(*arguments, **options):
        return subprocess.run(
            [place / "env" / "bin" / "headscope", *arguments],
            cwd=here, env=CLEAN, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300, **options,
        )  # fmt: skip

    return SimpleNamespace(headscope=headscope, here=here, site=site, python=place / "env" / "bin" / "python")


@pytest.fixture(scope="module")
def trained(new):
    done = new.headscope("train", *TINY, "hydra.run.dir=outputs/one")
    assert done.returncode == 0, done.stderr
    return done.stdout


def files(folder):
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts}


@pytest.mark.slow
def test_the_wheel_has_the_packages_the_scripts_and_every_config_and_nothing_else(wheel):
    names = {n for n in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in n}
    wanted = {f"headscope/{name}" for name in files(ROOT / "src" / "headscope")} | {"hydra_plugins/headscope.py"}
    wanted |= {f"headscope/scripts/conf/{name}" for name in files(ROOT / "conf")}
    assert names == wanted | {"headscope/scripts/train.py", "headscope/scripts/generate.py"}


@pytest.mark.slow
def test_an_archive_of_the_source_can_build_it(source, tmp_path):
    build = f"from setuptools import build_meta; build_meta.build_sdist({str(tmp_path)!r})"
    checked(sys.executable, "-c", build, cwd=source)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    assert {"train.py", "generate.py", "setup.py", *(f"conf/{name}" for name in files(ROOT / "conf"))} <= names


@pytest.mark.slow
def test_it_trains_from_an_empty_folder_and_names_its_own_commands(new, trained):
    assert (new.here / "outputs" / "one" / "checkpoints" / "best.ckpt").exists()
    commands = re.findall(r"^  (\w+ .*)$", trained, re.M)
    assert [c.split()[:2] for c in commands[:3]] == [["headscope", "generate"]] * 3
    assert commands[-1].startswith("headscope train -m ")
    assert "python" not in trained
    written = new.headscope(*shlex.split(commands[0])[1:], "the", "max_new_tokens=20")
    assert written.returncode == 0, written.stderr
    assert len(written.stdout) == len("the") + 20 + 1
    assert json.loads((new.here / "outputs" / "one" / "summary.json").read_text())["commit"] is None


@pytest.mark.slow
def test_it_resumes_what_it_trained(new, trained):
    done = new.headscope("train", "resume=outputs/one", "trainer.max_steps=6")
    assert done.returncode == 0, done.stderr
    assert json.loads((new.here / "outputs" / "one" / "summary.json").read_text())["steps"] == 6


@pytest.mark.slow
def test_it_sweeps_and_reports(new):
    done = new.headscope("train", "-m", *TINY, "seed=1,2", "hydra.sweep.dir=outputs/two", "hydra.launcher.n_jobs=2")
    assert done.returncode == 0, done.stdout + done.stderr
    report = new.here / "outputs" / "two" / "report.md"
    command = re.search(r"^headscope train -m .*$", report.read_text(), re.M)[0]
    report.unlink()
    again = new.headscope("report", "outputs/two")
    assert again.returncode == 0, again.stderr
    assert command in report.read_text()
    assert "next:\n  headscope generate" in (new.here / "outputs" / "two" / "00-s1" / "job.log").read_text()


@pytest.mark.slow
def test_it_trains_in_two_processes(new):
    two = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "hydra.run.dir=outputs/ddp")
    done = new.headscope("train", *TINY, *two)
    assert done.returncode == 0, done.stderr
    assert json.loads((new.here / "outputs" / "ddp" / "summary.json").read_text())["hardware"]["devices"] == 2


@pytest.mark.slow
def test_it_walks_and_exports(new, trained):
    assert new.headscope("walk", "friends").stdout.startswith("friends")
    done = new.headscope("export", "outputs/one", "model.safetensors")
    assert done.returncode == 0, done.stderr
    assert (new.here / "model.safetensors").exists()


@pytest.mark.slow
def test_what_it_refuses_names_its_own_commands(new):
    for typed, message in (
        (("train", "position=rpe"), "did you mean position=rope? conf/position has alibi, fox, kerple, learned,"),
        (("train", "nothing.like=this"), "headscope train --cfg job prints all keys"),
        (("generate", "paths.runs=nowhere"), "train a model with headscope train experiment=quickstart"),
        (("trian",), "did you mean headscope train?"),
    ):
        done = new.headscope(*typed)
        assert (done.returncode, done.stdout) == (2, "")
        assert re.fullmatch(r"error: .*\n", done.stderr)
        assert message in done.stderr


@pytest.mark.slow
def test_the_package_and_the_commands_that_contributing_shows_work_with_it(new):
    write_shown(new.here)
    commands = re.search(r"```bash\n(.*?)```", shown(), re.S)[1]
    path = f"{new.python.parent}:{os.environ['PATH']}"
    done = checked("sh", "-ec", commands, cwd=new.here, env=CLEAN | {"PATH": path})
    (summary,) = new.here.glob("outputs/*-*-*/*-run/summary.json")
    assert json.loads(summary.read_text())["position"] == "near"
    assert done.stdout.rpartition("\ndef ")[2].strip()


@pytest.mark.slow
def test_python_trains_with_it(new):
    code = (
        "import headscope\n"
        f"run = headscope.train(*{TINY!r}, 'hydra.run.dir=outputs/python')\n"
        "print(headscope.__file__, run.summary['steps'], len(run.generate('the', 5)))\n"
        "try: headscope.compose('-m', 'seed=1,2')\n"
        "except headscope.UserError as e: print(e)"
    )
    lines = checked(new.python, "-c", code, cwd=new.here).stdout.splitlines()
    assert lines[-2:] == [
        f"{new.site / 'headscope' / '__init__.py'} 4 8",
        "Python trains one run at a time; headscope train -m seed=1,2 trains several",
    ]


@pytest.mark.slow
def test_an_editable_install_is_one_path(source, tmp_path):
    site = environment(tmp_path / "env", ["--no-build-isolation", "--editable", source])
    (path,) = (p for p in site.glob("*.pth") if p.name != "dependencies.pth")
    assert path.read_text().strip() == str(source / "src")
    done = checked(tmp_path / "env" / "bin" / "headscope", "train", "--cfg", "job", cwd=tmp_path)
    assert done.stdout.startswith("model:")
    assert not (source / "src" / "headscope" / "scripts").exists()


def test_the_command_lists_its_commands():
    for typed in ((), ("--help",)):
        done = shell("-m", "headscope", *typed)
        assert done.returncode == 0
        assert re.findall(r"^  headscope (\w+)  ", done.stdout, re.M) == list(installed.COMMANDS)
    done = shell("-m", "headscope", "nothing")
    assert (done.returncode, done.stdout) == (2, "")
    known = ", ".join(installed.COMMANDS)
    assert done.stderr == f"error: there is no command 'nothing', only {known}; headscope --help explains them\n"
    assert shell("-m", "headscope", "train", "--help").stdout.count("headscope train") >= 5
    assert shell("-m", "headscope", "report", "--help").stdout.startswith("usage: headscope report")


def test_a_checkout_is_told_by_its_scripts(monkeypatch):
    monkeypatch.delenv(installed.TYPED, raising=False)
    assert installed.command("train") == "python train.py"
    assert installed.command("walk") == "python -m headscope.walkthrough"
    assert installed.extra("bpe") == "pip install --editable '.[bpe]'"
    monkeypatch.setenv(installed.TYPED, "1")
    assert installed.command("train") == "headscope train"
    monkeypatch.setattr(installed, "IN_A_WHEEL", True)
    assert installed.extra("bpe") == "pip install 'headscope[bpe]'"
