"""A page in a notebook: the cell shows it in a frame, and the page's script cannot access anything outside."""

import re
from html import unescape

import pytest
import torch

from headscope.data.tokenizers import CharTokenizer
from headscope.python.trained import Page
from headscope.show.page import page
from headscope.show.request import ShowRequest
from tests.browser import browser
from tests.conftest import small

TEXT = 'the cat & the "mat" <b>\'s</b>'


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    tokenizer = CharTokenizer(vocab=sorted(set(TEXT)))
    model = small(vocab_size=len(tokenizer), block_size=32).eval()
    about = {"passages": (torch.arange(8 * 12).view(8, 12) ** 2 % len(tokenizer)).tolist()}
    return Page(page(ShowRequest(model, tokenizer, TEXT, tmp_path_factory.mktemp("page") / "best.ckpt", about)))


def test_a_notebook_gets_the_whole_page_in_a_frame_that_only_runs_scripts_and_saves_files(shown):
    frame = shown._repr_html_()
    start, content = re.fullmatch(r'(<iframe [^<>]*?) srcdoc="([^"]*)"></iframe>', frame, re.S).groups()
    assert 'sandbox="allow-scripts allow-downloads"' in start
    assert "<" not in content
    assert unescape(content) == shown.html


def test_it_is_saved_as_it_is(shown, tmp_path):
    assert shown.save(tmp_path / "a" / "page.html").read_text(encoding="utf-8") == shown.html
    assert repr(shown) == f"Page of {len(shown.html.encode()) / 1e6:.1f} MB"


PROBE = """<script>
const errors = [];
addEventListener("error", (e) => errors.push(String(e.message)));
addEventListener("unhandledrejection", (e) => errors.push(String(e.reason)));
addEventListener("load", async () => {
  await modules.page.settled();
  let outside = "";
  try { outside = parent.document.title; } catch (e) { outside = e.name; }
  const loss = document.querySelector("#loss").textContent;
  parent.postMessage({ tokens: document.querySelector("#tokens").textContent, errors, outside, loss }, "*");
});
</script>"""


@pytest.mark.browser
def test_in_its_frame_the_page_runs_its_model_and_reaches_nothing_outside(shown, tmp_path):
    probed = Page(shown.html.replace("</body>", f"{PROBE}</body>"))
    file = tmp_path / "notebook.html"
    listen = "<script>const heard = new Promise(done => addEventListener('message', e => done(e.data)))</script>"
    file.write_text(f"<!doctype html><title>notebook</title>{listen}{probed._repr_html_()}", encoding="utf-8")
    with browser(tmp_path / "profile") as tab:
        tab.open(file)
        heard = tab.run("Promise.race([heard, new Promise(done => setTimeout(() => done(null), 20000))])")
        tab.photograph(tmp_path / "frame.png")
    assert heard is not None, "the page did not report that it runs"
    assert heard["errors"] == []
    assert heard["outside"] == "SecurityError"
    assert heard["tokens"] == TEXT.replace(" ", "·")
    assert "nats" in heard["loss"]
