"""What a reader types on the page, and what a link contains: numbers, names and texts that are not allowed."""

import itertools
import json
import re
import urllib.parse

import pytest
import torch

from headscope.data.tokenizers import CharTokenizer, WordTokenizer
from headscope.show.page import page
from headscope.show.request import ShowRequest
from tests.conftest import small
from tests.show.tabs import settle, text_of

pytestmark = pytest.mark.browser
LETTERS = "\n abcdefghijklmnopqrstuvwxyz"
SENTENCE = "the quick brown fox jumps over the lazy dog and then it sleeps until the morning\n"


@pytest.fixture
def opened(tab, tmp_path):
    """Opens the page of a model with 2 layers of 3 heads; checks that the console stays empty."""
    tab.complaints.clear()
    tab.size(1280, 900)

    def open_page(text=SENTENCE, fragment="", tokenizer=None):
        tokenizer = tokenizer or CharTokenizer(vocab=list(LETTERS))
        model = small(vocab_size=len(tokenizer), d_model=24, n_heads=3, n_layers=2, block_size=64).eval()
        about = {"passages": (torch.arange(8 * 12).view(8, 12) ** 2 % len(tokenizer)).tolist()}
        path = tmp_path / "page.html"
        path.write_text(page(ShowRequest(model, tokenizer, text, path, about)), encoding="utf-8")
        tab.open(path, fragment)
        settle(tab)

    yield open_page
    assert tab.complaints == []


def is_hidden(tab, selector):
    return tab.run(f"document.querySelector({json.dumps(selector)}).hidden")


def enter(tab, selector, text):
    tab.run(
        f"(() => {{ const field = document.querySelector({json.dumps(selector)}); field.value = {json.dumps(text)};"
        " field.dispatchEvent(new Event('input')); })()"
    )
    settle(tab)


def typed(tab):
    return tab.run("document.querySelector('#typed').value")


@pytest.mark.parametrize(
    ("field", "given", "allowed"),
    [
        ("temperature", "-3", "0.85"),
        ("temperature", "1e9", "5"),
        ("temperature", "", "0"),
        ("top-k", "-1", "0"),
        ("top-k", "2.5", "3"),
    ],
)
def test_a_number_that_is_not_allowed_writes_nothing_and_the_browser_says_why(tab, opened, field, given, allowed):
    opened()
    enter(tab, f"#{field}", given)
    for button in ("#write-one", "#write-on"):
        tab.click(button)
        tab.run("new Promise((r) => setTimeout(r, 100))")
        settle(tab)
        assert typed(tab) == SENTENCE
    assert text_of(tab, "#write-on") == "Keep writing"
    assert tab.run("document.activeElement.id") == field
    assert tab.run("document.activeElement.validationMessage")
    enter(tab, f"#{field}", allowed)
    tab.click("#write-one")
    tab.run("new Promise((r) => setTimeout(r, 100))")
    settle(tab)
    assert len(typed(tab)) == len(SENTENCE) + 1


@pytest.mark.parametrize(
    "part",
    ["at=-1", "at=0x5", "at=", "frame=1e1", "head=L00H0", "head=L2H0", "view=x", "direction=up", "by=x", "heat=3"],
)
def test_a_part_of_a_link_that_is_not_allowed_is_ignored(tab, opened, part):
    kept = ("frame", "layer", "head", "view", "direction", "by", "off")
    opened(fragment="#text=the%20fox")
    before = tab.run(f"{list(kept)}.map((name) => modules.page.state[name])")
    opened(fragment=f"#text=the%20fox&{part}")
    assert text_of(tab, "#tokens") == "the·fox"
    assert tab.run("modules.page.state.at") == 6
    assert tab.run(f"{list(kept)}.map((name) => modules.page.state[name])") == before


def test_every_head_of_a_link_is_checked(tab, opened):
    opened(fragment="#off=L0H1,L00H1,L0H3,,x,L1H2")
    assert tab.run("modules.page.state.off") == [[0, 1], [1, 2]]


def test_the_link_of_a_view_has_its_parts(tab, opened):
    opened(fragment="#text=the%20fox&at=3&head=L1H2&off=L0H1&by=mean&view=rollout&direction=to")
    tab.run("new Promise((r) => setTimeout(r, 400))")
    found = dict(urllib.parse.parse_qsl(tab.run("location.hash")[1:]))
    assert found.keys() == {"text", "at", "head", "off", "by", "view", "direction"}


@pytest.mark.parametrize("text", ["", "x", "ÄÖÜ😀"])
def test_a_text_of_one_token_has_no_maps_instead_of_dark_ones(tab, opened, text):
    opened()
    coloured = (
        "[...document.querySelectorAll('#heads canvas')].map((canvas) => {"
        " const copy = document.createElement('canvas').getContext('2d', { willReadFrequently: true });"
        " copy.drawImage(canvas, 0, 0); return copy.getImageData(0, 0, 9, 9).data.some((byte) => byte); })"
    )
    assert all(tab.run(coloured))
    enter(tab, "#typed", text)
    assert not any(tab.run(coloured))
    assert is_hidden(tab, "#map .map")
    assert text_of(tab, "#map .readout") == "The text has one token, which attends only to itself."
    assert is_hidden(tab, "#opening") == (text == "x")
    enter(tab, "#typed", "the fox")
    assert all(tab.run(coloured))
    assert not is_hidden(tab, "#map .map")
    assert is_hidden(tab, "#opening")


def test_the_model_reads_its_opening_token_if_the_text_is_empty(tab, opened):
    opened(fragment="#text=")
    assert text_of(tab, "#tokens") == "↵"
    assert text_of(tab, "#opening").endswith("The model therefore reads ↵, as it does without a prompt.")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("e\u0301", "U+0301"),
        ("a\u200bb\u00a0c\t", "U+200BU+00A0U+0009"),
        ("ABCDEFGHIJKLMNOP", "ABCDEFGHIJKL"),
    ],
)
def test_an_unknown_character_is_named_visibly(tab, opened, text, shown):
    opened()
    enter(tab, "#typed", text)
    assert text_of(tab, "#unknown") == f"Not in the model's vocabulary, and therefore ignored: {shown}"


def test_a_long_unknown_word_is_shortened_and_the_page_stays_within_its_window(tab, opened):
    tab.size(390, 900)
    opened(tokenizer=WordTokenizer.of([SENTENCE], 100))
    tab.size(390, 900)
    enter(tab, "#typed", f"the fox {'x' * 5000} {'a' * 20}\u0301")
    shown = tab.run("[...document.querySelectorAll('#unknown .token')].map((token) => token.textContent)")
    assert shown == ["x" * 39 + "…", "a" * 20 + "<U+0301>"]
    assert tab.run("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n"])
def test_all_ends_of_lines_are_newlines_in_the_box_and_in_a_link(tab, opened, end):
    text = f"the fox{end}the dog"
    opened(fragment=f"#text={urllib.parse.quote(text)}")
    assert text_of(tab, "#tokens") == "the·fox↵the·dog"
    assert is_hidden(tab, "#unknown")
    enter(tab, "#typed", "")
    enter(tab, "#typed", text)
    assert text_of(tab, "#tokens") == "the·fox↵the·dog"
    assert is_hidden(tab, "#unknown")


RECORD_LABELS = """(() => {
  globalThis.labels = [];
  const draw = CanvasRenderingContext2D.prototype.fillText;
  CanvasRenderingContext2D.prototype.fillText = function (text, x, y, longest = Infinity) {
    const { a, e, f } = this.getTransform();
    const [font, width] = [parseFloat(this.font), Math.min(longest, this.measureText(text).width)];
    const size = this.canvas.className === "beside" || Math.abs(a) < 0.5 ? font : width;
    labels.push([this.canvas.className, text, Math.round(e), Math.round(f), size]);
    return draw.apply(this, arguments);
  };
})()"""


@pytest.mark.parametrize(
    ("length", "width", "words"), [(41, 1280, False), (64, 1280, False), (64, 390, False), (40, 390, True)]
)
def test_labels_of_a_map_never_overlap_and_never_disappear(tab, opened, length, width, words):
    text = SENTENCE * 4
    tokenizer = WordTokenizer.of([text], 100) if words else CharTokenizer(vocab=list(LETTERS))
    opened(tokenizer=tokenizer)
    tab.size(width, 900)
    tab.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    tab.run(RECORD_LABELS)
    enter(tab, "#typed", " ".join(text.split()[:length]) if words else text[:length])
    drawn = {tuple(label) for label in tab.run("labels")}
    for axis, across, along in (("beside", 2, 3), ("above", 3, 2)):
        labels = [label for label in drawn if label[0] == axis]
        assert len(labels) == length if not words else len(labels) >= length / 4
        for lane in {label[across] for label in labels}:
            places = sorted((label[along], label[4]) for label in labels if label[across] == lane)
            for (before, size), (after, _) in itertools.pairwise(places):
                assert after - before >= size - 1, (axis, lane, places)


def test_labels_are_inside_a_saved_picture(tab, opened):
    tokenizer = WordTokenizer.of([f"the {'long' * 30} end\n"], 100)
    opened(text=f"the {'long' * 30} end", tokenizer=tokenizer)
    svg = tab.run(
        "(() => { const original = URL.createObjectURL; return new Promise((resolve) => {"
        " URL.createObjectURL = (blob) => { blob.text().then(resolve); return original(blob); };"
        " HTMLAnchorElement.prototype.click = () => {}; document.querySelector('#save-svg').click(); }); })()"
    )
    beyond = tab.run(
        "(() => { const box = document.createElement('div'); box.innerHTML = "
        f"{json.dumps(svg)}; document.body.append(box); const frame = box.firstChild.getBoundingClientRect();"
        " return [...box.querySelectorAll('text')].map((text) => text.getBoundingClientRect())"
        ".filter(({ left, top }) => left < frame.left || top < frame.top).length; })()"
    )
    assert re.match("<svg", svg)
    assert beyond == 0


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("word", ["a" * 60, "ab" * 100, "日本" * 40])
def test_a_token_of_any_length_stays_within_its_panel(tab, opened, word, width):
    text = f"the {word} end"
    tab.size(width, 900)
    opened(text=text, tokenizer=WordTokenizer.of([text], 100))
    tab.size(width, 900)
    token = f"[...document.querySelectorAll('#next-rows .token')].find((b) => b.textContent === '{word}')"
    tab.run(f"{token}.click()")
    settle(tab)
    assert tab.run("document.documentElement.scrollWidth") <= width
    beyond = (
        "[...document.querySelectorAll('section')].filter((part) => [...part.querySelectorAll('*')].some((e) =>"
        " !e.closest('.wide, .map, bdi') && e.getBoundingClientRect().right > part.getBoundingClientRect().right + 1))"
    )
    assert tab.run(f"{beyond}.map((part) => part.id)") == []
