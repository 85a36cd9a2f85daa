"""`python -m headscope.walkthrough`: the list, the walks, the files, and what it refuses."""

import base64
import re
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from headscope.shell import run as run_command
from headscope.walkthrough.__main__ import WALKS, main
from tests.conftest import shell
from tests.walkthrough.test_causal_head import WEIGHTS

NAMES = ["toy", "friends", "fox", "causal-head", "part4"]


@pytest.fixture
def walk(monkeypatch, capsys):
    """The command in this process: exit code, standard output, standard error."""

    def run(*arguments, columns=80):
        monkeypatch.setattr("sys.argv", ["walkthrough", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", str(columns))
        try:
            run_command(main)
        except SystemExit as e:
            code = e.code
        return code, *capsys.readouterr()

    return run


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


@pytest.mark.parametrize("name", NAMES)
def test_a_walk_tells_its_steps_and_its_departure(walk, name):
    start = time.perf_counter()
    code, out, err = walk(name, columns=80)
    assert (code, err) == (0, "")
    assert time.perf_counter() - start < 10
    assert "Where the document departs" in out
    assert max(map(len, out.splitlines())) <= 80
    again = walk(name, columns=80)
    assert again == (code, out, err)
    other = walk(name, "--seed", 3, columns=80)
    assert other[0] == 0
    assert other[1] != out


def test_wide_matrices_are_cut_and_say_so(walk):
    _, out, _ = walk("causal-head")
    assert "…" in out
    _, out, _ = walk("friends")
    assert "…" not in out


def test_a_word_is_shown_as_typed(walk):
    code, out, _ = walk("fox", "--sentence", "[bold]a[/bold] <b>& \x1b[31m 日本 é")
    assert code == 0
    assert "[bold]a[/bold]" in out
    assert "\x1b" not in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nobody"], "there is no walk 'nobody'; there are toy, friends, fox, causal-head, part4"),
        (["toy", "--seed", "x"], "--seed 'x' is not a whole number from 0 to 4294967295"),
        (["toy", "--seed", "-1"], "not a whole number"),
        (["toy", "--seed", "4294967296"], "not a whole number"),
        (["toy", "--seed", "1.5"], "not a whole number"),
        (["toy", "--sentence", "a b c"], "only fox takes --sentence"),
        (["fox", "--sentence", "word"], "a word and one before it"),
        (["fox", "--sentence", ""], "0 words"),
        (["friends", "--out", "/dev/null/x"], "choose another folder"),
        (["friends", "--out", ""], "--out is empty"),
        (["--seed", "1"], "the name is missing"),
        (["toy", "--speed", "1"], "--help lists"),
        (["toy", "friends"], "--help lists"),
    ],
)
def test_a_mistake_is_one_line(walk, arguments, said):
    code, out, err = walk(*arguments)
    assert code == 2
    assert out == ""
    assert said in err
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


@pytest.mark.parametrize("name", NAMES)
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
    inline = {base64.b64decode(data) for data in re.findall(r'src="data:image/png;base64,([^"]+)"', page)}
    assert inline == {p.read_bytes() for p in pictures}
    assert len(pictures) >= 6
    for picture in pictures:
        pixels = np.asarray(Image.open(picture))
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 8, picture.name
    for number in WEIGHTS.split() if name == "causal-head" else ():
        assert f'<td class="n">{number}</td>' in page


def test_words_cannot_write_html(walk, tmp_path):
    walk("fox", "--sentence", '<script>alert(1)</script> "x" <img/src=http://a.b/c>', "--out", tmp_path)
    page = (tmp_path / "fox.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "<img/" not in page


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def photograph(page, picture, *flags):
    """Opens a page in headless Chromium; returns what its console said."""
    assert CHROMIUM, "these tests need Chromium"
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0", *flags]
    command += [f"--user-data-dir={picture.parent}/profile", f"--screenshot={picture}", page.as_uri()]
    done = subprocess.run(command, timeout=120, check=True, capture_output=True, text=True)
    return [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.browser
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("window", ["1200,3000", "420,3000"])
def test_the_page_opens_without_a_complaint(walk, name, window, tmp_path):
    walk(name, "--out", tmp_path)
    said = photograph(tmp_path / f"{name}.html", tmp_path / "shot.png", f"--window-size={window}")
    assert said == []
    pixels = np.asarray(Image.open(tmp_path / "shot.png").convert("RGB")).reshape(-1, 3) @ [1 << 16, 1 << 8, 1]
    colours, counts = np.unique(pixels, return_counts=True)
    assert counts.max() / counts.sum() < 0.97
    assert len(colours) > 100


@pytest.mark.browser
def test_a_request_would_be_seen(walk, tmp_path):
    walk("friends", "--out", tmp_path)
    page = tmp_path / "friends.html"
    page.write_text(page.read_text().replace("<main>", '<main><img src="http://example.invalid/x.png">'))
    assert any("Content Security Policy" in line for line in photograph(page, tmp_path / "shot.png"))
