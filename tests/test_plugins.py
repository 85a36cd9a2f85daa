"""A plugin works: the tests write the package that CONTRIBUTING shows, and use it."""

import re
import sys

import pytest
import torch

import headscope
from headscope import plugins
from headscope.errors import UserError
from headscope.model.position import Rotary
from headscope.portable import refusal
from tests.conftest import ROOT, shell

TINY = (
    *("data=pydoc", "model.n_layers=1", "model.d_model=32", "model.n_heads=2", "model.block_size=16"),
    *("trainer.max_steps=4", "trainer.val_check_interval=2", "trainer.threads=1", "callbacks=none"),
)
PARTS = '''
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import torch
from annotated_types import Gt
from lightning import Callback

from headscope.data.pydoc import PyDoc
from headscope.data.tokenizers import CharTokenizer
from headscope.model.position import Position, Rotary


class Small(CharTokenizer):
    """Characters, whatever their case."""

    @classmethod
    def of(cls, pieces, vocab_size):
        return super().of((piece.lower() for piece in pieces), vocab_size)

    def encode(self, text: str) -> torch.Tensor:
        return super().encode(text.lower())


class Text(PyDoc):
    """The first part of a text."""

    name = "mine"

    def __init__(self, tokenizer: str = "char", vocab_size: int = 1024) -> None:
        super().__init__("char", vocab_size)
        self.kind = Small

    def read(self) -> str:
        return super().read()[:20_000]


class Signs(torch.optim.Optimizer):
    """Steps of one length."""

    def __init__(self, model: torch.nn.Module, fused: bool = False, *, lr: Annotated[float, Gt(0)] = 1e-3) -> None:
        super().__init__(model.parameters(), {"lr": lr})

    def step(self, closure=None):
        loss = None if closure is None else closure()
        with torch.no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    p.add_(p.grad.sign(), alpha=-group["lr"])
        return loss


class Counts(Callback):
    """Writes down how many steps it saw."""

    def __init__(self, file: str, names: Sequence[str] = ()) -> None:
        self.file = file

    def on_train_end(self, trainer, module):
        Path(self.file).write_text(str(trainer.global_step))


class Odd(Position):
    def __init__(self, d_model: int, n_heads: int, block_size: int, layer: int | None = None, *, x: Nowhere) -> None:
        super().__init__(d_model, n_heads, block_size, layer)
'''


def shown():
    """Returns the section of CONTRIBUTING about plugins."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    return text.partition("## Your own parts, without a fork\n")[2].partition("\n## ")[0]


def write(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)


def write_shown(folder):
    """Writes the package that this section shows."""
    files = dict(re.findall(r"^`(mypkg/[\w./]+)`:\n\n```\w+\n(.*?)^```$", shown(), re.M | re.S))
    assert set(files) == {"mypkg/near.py", "mypkg/conf/position/near.yaml"}
    write(folder, files | {"mypkg/__init__.py": ""})


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """Returns a folder with the package that CONTRIBUTING shows, and with more parts that a user may write."""
    folder = tmp_path_factory.mktemp("library")
    section = shown()
    write_shown(folder)
    files = {"mypkg/parts.py": PARTS, "mypkg/broken.py": "import nothing_of_this_name\n"}
    files |= {"mypkg/conf/data/mine.yaml": "_target_: mypkg.parts.Text\ntokenizer: char\nvocab_size: 1024\n"}
    declared = re.search(r"```toml\n(.*?)```", section, re.S)[1].replace("project.entry-points.", "").replace('"', "")
    files |= {"mypkg-1.dist-info/METADATA": "Name: mypkg\nVersion: 1\n", "mypkg-1.dist-info/entry_points.txt": declared}
    write(folder, files)
    (folder / "mypkg-1.dist-info").rename(folder / "hidden")  # a test moves it back, which declares the entry point
    return folder


@pytest.fixture(autouse=True)
def no_plugin_stays():
    yield
    for name in [n for n in sys.modules if n.partition(".")[0] in ("mypkg", "other")]:
        del sys.modules[name]


@pytest.fixture
def named(library, monkeypatch):
    monkeypatch.syspath_prepend(str(library))
    monkeypatch.setenv(plugins.NAMED, "mypkg")
    return library


def use(library, *command, cwd, **env):
    """Runs a command in a process that can import the package."""
    paths = f"{library}:{ROOT / 'src'}"
    return shell(ROOT / command[0], *command[1:], cwd=cwd, PYTHONPATH=paths, **env)


@pytest.fixture(scope="module")
def near(library, tmp_path_factory):
    """Returns a folder in which a sweep of two jobs trained `position=near` from the command line."""
    here = tmp_path_factory.mktemp("elsewhere")
    sweep = ("train.py", "-m", *TINY, "position=near", "position.reach=8,4", "hydra.sweep.dir=sweep")
    done = use(library, *sweep, cwd=here, HEADSCOPE_PLUGINS="mypkg")
    assert done.returncode == 0, done.stdout + done.stderr
    return here


@pytest.mark.slow
def test_the_scheme_of_the_document_trains_and_writes(near, library):
    path = "checkpoint=sweep/00-reach8"
    done = use(library, "generate.py", path, "the", "max_new_tokens=5", cwd=near, HEADSCOPE_PLUGINS="mypkg")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("the")
    assert len(done.stdout) == len("the") + 5 + 1


@pytest.mark.slow
def test_its_checkpoint_comes_back_where_the_package_is_named(near, named):
    trained = headscope.load(near / "sweep" / "00-reach8")
    assert type(trained.model.position).__module__ == "mypkg.near"
    assert trained.model.position.reach == 8
    assert trained.model.layers()[0].attention.position.heights.shape == (2, 8)
    assert refusal(trained.model) == ""
    assert trained.page("the").html


@pytest.mark.slow
def test_its_checkpoint_is_refused_where_it_is_not(near, library):
    for path in (f"checkpoint={near}/sweep/00-reach8", "checkpoint=sweep/00-reach8"):
        done = use(library, "generate.py", path, "the", cwd=near)
        assert done.returncode == 2
        wanted = (
            "the class Near from mypkg.near, which is not part of Headscope; if you trust that package, install it and"
        )
        assert done.stderr == f"error: this checkpoint needs {wanted} set HEADSCOPE_PLUGINS=mypkg\n"


def test_what_a_plugin_says_of_its_options_is_checked(named):
    assert headscope.compose("position=near")["position"] == {"_target_": "mypkg.near.Near", "reach": 16}
    for override, message in (
        ("position.reach=0", "position.reach=0 must be at least 1"),
        ("position.rech=1", "did you"),
    ):
        with pytest.raises(UserError, match=message):
            headscope.compose("position=near", override)
    with pytest.raises(
        UserError, match=r"there is no position=nearer; did you mean position=near\? conf/position has .*near"
    ):
        headscope.compose("position=nearer")


def test_a_source_with_a_tokenizer_an_optimizer_and_a_callback(named, tmp_path):
    run = headscope.train(
        *TINY,
        "data=mine",
        "~optimizer",
        "+optimizer={_target_: mypkg.parts.Signs, lr: 1e-3}",
        f"+callbacks.counts={{_target_: mypkg.parts.Counts, file: {tmp_path}/counts}}",
        f"hydra.run.dir={tmp_path}/run",
    )
    assert run.summary["data"]["name"] == "mine"
    assert (tmp_path / "counts").read_text() == "4"
    assert run.about["config"]["optimizer"] == {"_target_": "mypkg.parts.Signs", "lr": 1e-3}
    assert type(run.tokenizer).__module__ == "mypkg.parts"
    assert run.generate("The", 1).startswith("the")


@pytest.mark.parametrize(
    ("names", "override", "message"),
    [
        ("mypkg", "position._target_=mypkg.broken.X", "the plugin mypkg.broken cannot be imported (Module"),
        ("mypkg", "position._target_=mypkg.near.None", "position._target_=mypkg.near.None cannot be imported"),
        ("mypkg", "position._target_=mypkg.near.torch", "position._target_=mypkg.near.torch must be a subclass of"),
        ("mypkg", "position._target_=mypkg.near.nn.Linear", "the plugin mypkg.near.nn cannot be imported"),
        ("mypkg", "position._target_=mypkg.parts.Odd", "Odd: an annotation cannot be evaluated: name 'Nowhere'"),
        ("mypkg", "position._target_=mypkgs.near.Near", "position._target_=mypkgs.near.Near must be a subclass of"),
        ("", "position._target_=mypkg.near.Near", "position._target_=mypkg.near.Near must be a subclass of Position"),
        ("other", "seed=1", "there is no package 'other', which HEADSCOPE_PLUGINS names; install it"),
        ("my-pkg,", "seed=1", "there is no package 'my-pkg'"),
        (".mypkg", "seed=1", "there is no package '.mypkg'"),
    ],
)  # fmt: skip
def test_a_plugin_that_cannot_be_used_is_one_line(names, override, message, named, monkeypatch):
    monkeypatch.setenv(plugins.NAMED, names)
    with pytest.raises(UserError) as error:
        headscope.compose("~position", "+position={}", override.replace("position._t", "+position._t"))
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_a_package_that_is_not_there_is_one_line_of_the_command_too(tmp_path):
    done = shell(ROOT / "train.py", "--help", cwd=tmp_path, HEADSCOPE_PLUGINS="nowhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"error: there is no package 'nowhere'.*\n", done.stderr)


def test_only_what_is_named_is_imported(library, monkeypatch):
    monkeypatch.syspath_prepend(str(library))
    monkeypatch.delenv(plugins.NAMED, raising=False)
    with pytest.raises(UserError):
        headscope.compose("+position._target_=mypkg.near.Near")
    assert plugins.names() == []
    assert "mypkg" not in sys.modules


def test_an_installed_package_names_itself(library, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(library))
    monkeypatch.delenv(plugins.NAMED, raising=False)
    (library / "hidden").rename(library / "mypkg-1.dist-info")
    plugins._declared.cache_clear()
    try:
        assert plugins.names() == ["mypkg"]
        assert headscope.compose("position=near")["position"]["reach"] == 16
    finally:
        (library / "mypkg-1.dist-info").rename(library / "hidden")
        plugins._declared.cache_clear()


def test_a_plugins_class_of_one_of_our_names_takes_no_place(named, tmp_path):
    """A checkpoint of Headscope's class loads that class, and a checkpoint of the plugin's class loads the plugin's."""
    from headscope import checkpoint
    from tests.checkpoint.test_checkpoint import save
    from tests.conftest import small

    (named / "mypkg" / "same.py").write_text(
        "from headscope.model.position import Position\n\n\nclass Rotary(Position):\n    pass\n"
    )
    from mypkg.same import Rotary as Theirs

    for scheme in (Rotary, Theirs):
        path = save(small(scheme).eval(), tmp_path / f"{scheme.__module__}.ckpt")
        assert type(checkpoint.load(path).model.position) is scheme
    assert torch.is_tensor(small(Theirs).head.weight)
