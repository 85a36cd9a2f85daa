"""`python -m headscope.walkthrough`: the list of walks, the walks, the files, and refused arguments."""

import re
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from headscope.walkthrough.__main__ import WALKS
from tests.conftest import shell
from tests.walkthrough.test_causal_head import WEIGHTS

SMALL = ["toy", "friends", "fox", "causal-head", "part4"]
NAMES = [*SMALL, "model"]


def test_without_a_name_it_lists_the_walks():
    done = shell("-m", "headscope.walkthrough")
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == NAMES == list(WALKS)
    assert done.stderr == ""


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_the_64_weights_are_printed_at_every_width(walk, columns):
    code, out, _ = walk("causal-head", columns=columns)
    assert code == 0
    for row in WEIGHTS.strip().split("\n"):
        assert re.search(r"\s+".join(map(re.escape, row.split())), out), row


@pytest.mark.parametrize("name", SMALL)
def test_a_walk_tells_its_steps_its_mistakes_and_its_questions(walk, name):
    start = time.process_time()  # does not depend on other processes
    code, out, err = walk(name, columns=80)
    assert (code, err) == (0, "")
    assert time.process_time() - start < 10
    assert out.count("Notice: ") == len(WALKS[name].run(WALKS[name].seed).steps) >= 6
    assert out.count("Change: ") >= 2
    assert out.index("Common mistakes") < out.index("Can you answer these?") < out.index("Answers")
    assert "document" not in out
    assert max(len(line) for line in out.splitlines() if "python -m" not in line) <= 80
    again = walk(name, columns=80)
    assert again == (code, out, err)
    other = walk(name, "--seed", 3, columns=80)
    assert other[0] == 0
    assert other[1] != out


def test_wide_matrices_are_cut_and_say_so(walk):
    _, out, _ = walk("causal-head")
    assert "…" in out
    _, out, _ = walk("friends")
    assert "…" not in out.replace("tuple[Tensor, ...]", "")


def test_a_word_is_shown_as_typed(walk):
    code, out, _ = walk("fox", "--sentence", "[bold]a[/bold] <b>& \x1b[31m 日本 é")
    assert code == 0
    assert "[bold]a[/bold]" in out
    assert "\x1b" not in out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nobody"], "there is no walk 'nobody'; choose one of toy, friends, fox, causal-head, part4, model"),
        (["toy", "--seed", "x"], "--seed 'x' is not a whole number from 0 to 4294967295"),
        (["toy", "--seed", "-1"], "not a whole number"),
        (["toy", "--seed", "4294967296"], "not a whole number"),
        (["toy", "--seed", "1.5"], "not a whole number"),
        (["toy", "--sentence", "a b c"], "only fox takes --sentence"),
        (["fox", "--sentence", "word"], "1 word; use at least two"),
        (["fox", "--sentence", ""], "0 words"),
        (["friends", "--out", "/dev/null/x"], "choose another folder"),
        (["friends", "--out", ""], "--out is empty"),
        (["--seed", "1"], "the name of the walk is missing"),
        (["--set", "epochs=1"], "the name of the walk is missing"),
        (["toy", "--set", "epochs"], "--set epochs needs a name and a value, such as epochs=200"),
        (["toy", "--set", "epoch=20"], "--set epoch: toy has no such option; did you mean epochs?"),
        (["toy", "--set", "zzz=20"], "toy has no such option; its options are epochs, target, mask"),
        (["toy", "--set", "epochs=many"], "--set epochs=many must be a valid integer"),
        (["toy", "--set", "epochs=0"], "must be at least 1"),
        (["toy", "--set", "epochs=2001"], "must be at most 2000"),
        (["toy", "--set", "target=birds"], "must be one of I, love, cats, dogs"),
        (["toy", "--set", "mask=perhaps"], "must be a valid boolean"),
        (["friends", "--set", "sharpness=nan"], "must be"),
        (["friends", "--set", "keys=\n"], "must be one of alike, opposite"),
        (["part4", "--set", "heads=7"], "7 heads do not divide the width d_model=256"),
        (["part4", "--set", "width=255"], "255"),
        (["fox", "--set", "window=0"], "must be at least 1"),
        (["model", "--seed", "1"], "nothing in model is random"),
        (["model", "--set", "checkpoint=/nowhere.ckpt"], "there is no checkpoint at /nowhere.ckpt"),
        (["model", "--set", "instead=median"], "must be one of zero, mean"),
        (["toy", "--speed", "1"], "--help lists"),
        (["toy", "friends"], "--help lists"),
    ],
)
def test_a_mistake_is_one_line(walk, arguments, expected):
    code, out, err = walk(*arguments)
    assert code == 2
    assert out == ""
    assert expected in err
    assert err.count("\n") == 1


def test_an_unknown_walk_from_the_shell():
    done = shell("-m", "headscope.walkthrough", "nobody")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_a_reader_that_stops_is_no_error():
    for name in ("", "friends"):
        command = f"{sys.executable} -m headscope.walkthrough {name} | true"
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
        assert done.stderr == ""


@pytest.mark.parametrize("name", SMALL)
def test_the_page_holds_everything_and_needs_nothing(walk, name, tmp_path):
    folder = tmp_path / "new" / "folder"
    code, out, _ = walk(name, "--out", folder)
    assert code == 0
    page = (folder / f"{name}.html").read_text(encoding="utf-8")
    pictures = sorted(folder.glob("*.png"))
    assert str(folder / f"{name}.html") in out.replace("\n", "")
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert "http" not in page.replace("http-equiv", "")
    assert "<script" not in page
    assert "document" not in page
    assert len(pictures) >= 6
    for picture in pictures:
        pixels = np.asarray(Image.open(picture))
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 8, picture.name
    result = WALKS[name].run(WALKS[name].seed)
    cells = set(re.findall(r"<td class=\"n[^>]*>([^<]*)</td>", page))
    for matrix in result.matrices:
        assert {cell for row in matrix.cells for cell in row} <= cells, matrix.title
    for number in WEIGHTS.split() if name == "causal-head" else ():
        assert number in cells


def test_words_cannot_write_html(walk, tmp_path):
    walk("fox", "--sentence", '<script>alert(1)</script> "x" <img/src=http://a.b/c>', "--out", tmp_path)
    page = (tmp_path / "fox.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "<img/" not in page


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def photograph(page, picture, *flags):
    """Opens a page in headless Chromium; returns the messages of its console."""
    assert CHROMIUM, "these tests need Chromium"
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0", *flags]
    command += [f"--user-data-dir={picture.parent}/profile", f"--screenshot={picture}", page.as_uri()]
    done = subprocess.run(command, timeout=120, check=True, capture_output=True, text=True)
    return [line for line in done.stderr.splitlines() if "CONSOLE" in line]
