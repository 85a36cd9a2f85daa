"""The pages of all six walks: links, widths of a desktop and a phone, light and dark colours, no network."""

import json
import re
from importlib import resources

import pytest

from headscope.walkthrough.__main__ import WALKS
from tests.browser import browser
from tests.walkthrough.conftest import save


@pytest.fixture
def pages(walk, run_folder, tmp_path):
    """Writes all six pages into a folder that also has the page of the model."""
    path, *_ = run_folder
    path.with_name("best-step7-page.html").write_text("<!doctype html><title>the model</title>")
    code, out, err = walk("--out", tmp_path / "pages")
    assert (code, err) == (0, "")
    assert len(out.splitlines()) == 6
    return {name: tmp_path / "pages" / lesson.file for name, lesson in WALKS.items()}


def addresses(page):
    return re.findall(r'<a\s+href="([^"#]+)"', page.read_text(encoding="utf-8"))


def test_all_pages_are_linked_with_each_other_and_with_the_model(pages):
    for name, page in pages.items():
        found = addresses(page)
        assert sorted(found) == sorted(
            [p.name for n, p in pages.items() if n != name] + ["../outputs/day/time/checkpoints/best-step7-page.html"]
        )
        for address in found:
            assert (page.parent / address).is_file(), address


def test_a_page_alone_links_to_nothing_that_is_not_there(walk, tmp_path):
    walk("toy", "--out", tmp_path)
    assert addresses(tmp_path / "toy.html") == []
    walk("fox", "--out", tmp_path)
    assert addresses(tmp_path / "fox.html") == ["toy.html"]
    (tmp_path / "model.html").write_text("mine")
    walk("friends", "--out", tmp_path)
    assert addresses(tmp_path / "friends.html") == ["toy.html", "fox.html", "model.html"]
    assert (tmp_path / "model.html").read_text() == "mine"


def test_without_a_checkpoint_five_pages_are_written_and_it_says_so(walk, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = walk("--out", "pages")
    assert code == 0
    assert "the walk through your own model was skipped: no run in outputs/ has a checkpoint" in out
    assert len(list((tmp_path / "pages").glob("*.html"))) == 5


def test_the_name_of_a_model_is_text(walk, tmp_path):
    path = tmp_path / "best.ckpt"
    save(path)
    walk("model", "--set", f"checkpoint={path}", "--set", "prompt=the <cat".replace("<", ""), "--out", tmp_path)
    assert "<script" not in (tmp_path / "model-walk.html").read_text()


AXE = (
    "axe.run().then((found) => found.violations.map(({ impact, id, nodes }) =>"
    " [impact, id, nodes.slice(0, 3).map((node) => node.html.slice(0, 200) + node.failureSummary)]))"
)
WIDE = (
    "[...document.querySelectorAll('body *')].filter((e) => !e.closest('.wide')"
    " && e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.outerHTML.slice(0, 200))"
)


@pytest.mark.browser
def test_every_page_at_both_widths_in_light_and_dark(pages, walk, tmp_path):
    axe = (resources.files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8")
    with browser(tmp_path / "profile") as tab:
        for name, page in pages.items():
            for width, dark in ((1280, False), (390, False), (390, True), (1280, True)):
                tab.size(width, 900, dark)
                tab.open(page)
                tab.run("document.querySelectorAll('details').forEach((d) => (d.open = true))")
                assert tab.run("document.documentElement.scrollWidth") <= width, (name, width)
                assert tab.run(WIDE) == [], (name, width)
                if (width, dark) in ((1280, False), (390, True)):
                    tab.run(axe + "; true")
                    faults = [f for f in tab.run(AXE) if f[0] in ("serious", "critical")]
                    assert faults == [], (name, width, json.dumps(faults, indent=1)[:3000])
            used = "Math.max(...[...document.querySelectorAll('main *')].map((e) => e.getBoundingClientRect().right))"
            assert tab.run(used) > 1200, f"{name} uses the width of its page"
            assert tab.run("[...document.querySelectorAll('#checks details')].length") == 3
        walk("model", "--set", "prompt=" + "the_cat_sat".replace("_", " ") * 9, "--out", tmp_path)
        tab.size(390, 900)
        tab.open(tmp_path / "model-walk.html")
        assert tab.run("document.documentElement.scrollWidth") <= 390, "a long text"
        assert tab.complaints == []
        assert {url.partition(":")[0] for url in tab.requests} <= {"file", "about", "data"}


@pytest.mark.browser
def test_answers_are_folded_until_one_asks(pages, tmp_path):
    with browser(tmp_path / "profile") as tab:
        tab.size(1280, 900)
        tab.open(pages["friends"])
        assert not tab.run("[...document.querySelectorAll('details')].some((d) => d.open)")
        tab.click("#checks summary")
        assert "asks for" in tab.run("document.querySelector('#checks details[open] p').innerText")
        tab.click("nav a[href='toy.html']")
        assert tab.complaints == []


@pytest.mark.browser
def test_a_request_would_be_seen(pages, tmp_path):
    page = pages["friends"]
    page.write_text(page.read_text().replace("<main>", '<main><img src="http://example.invalid/x.png">'))
    with browser(tmp_path / "profile") as tab:
        tab.open(page)
        assert any("Content Security Policy" in message for message in tab.complaints)
