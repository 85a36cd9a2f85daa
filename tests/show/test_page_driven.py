"""The page in use: pointer, keyboard, switches, views, generated text, link, slider and accessibility."""

import json
import re
import shutil
import time
import urllib.parse

import pytest
import torch

from headscope.data.tokenizers import BytePairTokenizer, CharTokenizer, LineTokenizer, WordTokenizer
from headscope.generation.text import prompt_ids
from headscope.heads import film, look
from headscope.heads.film import Film
from headscope.model.mlp import FixedContextMLP
from headscope.render import model_page
from headscope.show.page import page
from headscope.show.request import ShowRequest
from tests.conftest import ROOT, small
from tests.show.tabs import assert_axe_finds_no_serious_fault, assert_no_element_is_wider_than, settle, text_of

pytestmark = pytest.mark.browser
ODD = """<script>alert("x")</script> & 'quotes' `${1}` $& <!-- </b>\n👩‍🚀 é e\u0301 שלום عربي \u200f\u0301 日本 \\n %"""
WORDS = "the cat sat on the mat\n"


@pytest.fixture
def opened(tab, tmp_path):
    """Opens the page of a model whose tokens are the characters of a text; checks that the console stays empty."""
    tab.complaints.clear()
    tab.requests.clear()
    tab.size(1280, 900)

    def open_page(text=WORDS, prompt=None, fragment="", tokenizer=None, model=None, frames=3, block_size=32, **about):
        tokenizer = tokenizer or CharTokenizer(vocab=sorted(set(text)))
        model = model or small(vocab_size=len(tokenizer), d_model=24, n_heads=3, n_layers=2, block_size=block_size)
        path = tmp_path / "page.html"
        kept = tmp_path / "film.gz"
        if frames:
            ids = prompt_ids(tokenizer, text)[None, : min(16, block_size)]
            maps = look(model, ids, "maps").maps
            steps = [film.frame(10 * k, maps**k, {(0, 1): f"role {k}"}) for k in range(frames)]
            kept.write_bytes(Film(ids[0].tolist(), steps).to_bytes())
        given = text if prompt is None else prompt
        about.setdefault("passages", (torch.arange(8 * 12).view(8, 12) ** 2 % len(tokenizer)).tolist())
        path.write_text(page(ShowRequest(model.eval(), tokenizer, given, path, about, film=kept)), encoding="utf-8")
        tab.open(path, fragment)
        settle(tab)
        return path

    yield open_page
    assert tab.complaints == []
    assert {re.split(":", url)[0] for url in tab.requests} <= {"file", "blob", "data", "about"}


def state(tab, name):
    return tab.run(f"modules.page.state.{name}")


def test_the_text_is_shown_and_read_as_it_is_typed(tab, opened):
    opened()
    assert text_of(tab, "#tokens") == "the·cat·sat·on·the·mat↵"
    before = text_of(tab, "#loss")
    tab.run("document.querySelector('#typed').focus()")
    tab.run("document.querySelector('#typed').select()")
    tab.type("the mat")
    settle(tab)
    assert text_of(tab, "#tokens") == "the·mat"
    assert text_of(tab, "#loss") != before
    assert "over 6" in text_of(tab, "#loss")
    tab.type(" zebra")
    settle(tab)
    assert text_of(tab, "#unknown") == "Not in the model's vocabulary, and therefore ignored: zbr"
    assert text_of(tab, "#tokens") == "the·mat·ea"
    tab.run("document.querySelector('#typed').select()")
    tab.press("Backspace")
    settle(tab)
    assert text_of(tab, "#tokens") == "↵", "a text without tokens becomes the opening"


def test_pointer_on_a_token(tab, opened):
    opened()
    tab.hover("#token-4")
    assert "from position 4, most to" in text_of(tab, "#looks")
    assert state(tab, "at") == 22
    tab.click("#token-6")
    settle(tab)
    assert state(tab, "at") == 6
    assert "after position 6, t" in text_of(tab, "#next-at")
    assert text_of(tab, "#next-rows .actual .token") == "·", "the next token of the text is marked"
    tab.click("input[value=to]")
    assert "L0H0: attention to position 6, most from" in text_of(tab, "#looks")
    bars = tab.run(
        "[...document.querySelectorAll('#tokens [role=option]')].map((s) => +s.style.getPropertyValue('--look'))"
    )
    assert not any(bars[:6])
    assert all(bars[6:])


def test_bars_and_strips_are_the_row_of_the_head(tab, opened):
    opened(fragment="#at=9&head=L1H2")
    model = small(vocab_size=len(set(WORDS)), d_model=24, n_heads=3, n_layers=2, block_size=32)
    ids = CharTokenizer(vocab=sorted(set(WORDS))).encode(WORDS)[None]
    row = look(model, ids, "maps").maps[1, 0, 2, 9]
    bars = tab.run(
        "[...document.querySelectorAll('#tokens [role=option]')].map((s) => +s.style.getPropertyValue('--look'))"
    )
    torch.testing.assert_close(torch.tensor(bars) ** 2, row, atol=0.005, rtol=0)


def test_a_switch_changes_loss_and_probabilities_at_once(tab, opened):
    opened()
    before = text_of(tab, "#loss")
    first = text_of(tab, "#next-rows")
    tab.click("#heads .layer:nth-child(2) .head:nth-child(2) input")
    settle(tab)
    after = text_of(tab, "#loss")
    assert "without L1H1" in after
    nats = lambda text: float(re.search(r"\d\.\d{3}", text)[0])  # noqa: E731
    difference = text_of(tab, "#difference").replace("−", "-")
    assert nats(after) - nats(before) == pytest.approx(float(difference), abs=0.0011)
    assert text_of(tab, "#next-rows") != first
    assert tab.run("!document.querySelector('#next-change').hidden")
    assert tab.run("document.querySelectorAll('.head.off').length") == 1
    tab.click("#all-on")
    settle(tab)
    assert text_of(tab, "#loss") == before
    assert text_of(tab, "#next-rows") == first


def test_views_and_the_number_under_the_pointer(tab, opened):
    opened(fragment="#head=L1H0")
    numbers = set()
    for view in ("weights", "normWeighted", "rollout"):
        tab.click(f"input[value={view}]")
        settle(tab)
        tab.hover("#map .area")
        x, y = tab.middle("#map .area")
        tab.call("Input.dispatchMouseEvent", type="mouseMoved", x=x - 30, y=y + 30)
        numbers.add(text_of(tab, "#map .readout"))
    assert len(numbers) == 3
    assert all(re.fullmatch(r"from .+ \(\d+\) to .+ \(\d+\): \d\.\d{4}", number) for number in numbers)
    assert "layer 1" in tab.run("document.querySelector('#map .map').getAttribute('aria-label')")


def test_everything_by_keyboard(tab, opened):
    opened()
    tab.run("document.querySelector('#tokens').focus()")
    tab.press("Home", "ArrowRight", "ArrowRight")
    settle(tab)
    assert state(tab, "at") == 2
    tab.run("document.querySelector('#heads .pick[aria-pressed=true]').focus()")
    tab.press("ArrowRight", "ArrowDown")
    settle(tab)
    assert (state(tab, "layer"), state(tab, "head")) == (1, 1)
    tab.press("o")
    settle(tab)
    assert state(tab, "off") == [[1, 1]]
    tab.run("document.querySelector('#map .map').focus()")
    tab.press("ArrowDown", "ArrowDown", "Home")
    assert "(4) to t (0)" in text_of(tab, "#map .readout")
    tab.press("Enter")
    settle(tab)
    assert state(tab, "at") == 4
    tab.run("document.querySelector('#next-rows button').focus()")
    tab.press("Tab", "Enter")
    settle(tab)
    assert state(tab, "token") is not None
    assert tab.run("document.activeElement.dataset.token") == str(state(tab, "token")), "the focus stays"
    tab.run("document.querySelector('#step').focus()")
    tab.press("ArrowLeft")
    assert state(tab, "frame") == 1


def test_tab_reaches_every_control_and_the_focus_shows(tab, opened):
    opened()
    tab.run("document.activeElement.blur()")
    reached, hidden = set(), []
    for _ in range(70):
        tab.press("Tab")
        name, outline = tab.run(
            "(({id, className, tagName, name}) => [id || name || (tagName === 'BODY' ? tagName : className || tagName),"
            " getComputedStyle(document.activeElement).outlineStyle])(document.activeElement)"
        )
        reached.add(name)
        if outline == "none":
            hidden.append(name)
    assert {"typed", "write-one", "write-on", "temperature", "top-k", "share", "tokens", "pick", "view"} <= reached
    assert {"direction", "save-png", "save-svg", "map", "token", "play", "step"} <= reached
    assert set(hidden) <= {"BODY"}


def test_writing_one_token_per_click_and_continuously(tab, opened):
    opened()
    for _ in range(2):
        tab.click("#write-one")
        settle(tab)
        tab.run("new Promise((r) => setTimeout(r, 50))")
        settle(tab)
    written = tab.run("document.querySelector('#typed').value")
    assert written.startswith(WORDS)
    assert len(written) == len(WORDS) + 2
    tab.click("#write-on")
    for _ in range(100):
        time.sleep(0.05)
        if len(tab.run("document.querySelector('#typed').value")) > 40:
            break
    assert text_of(tab, "#write-on") == "Stop"
    tab.press("Escape")
    settle(tab)
    time.sleep(0.3)
    length = len(tab.run("document.querySelector('#typed').value"))
    assert length > 40
    assert "The model does not see the earlier tokens" in text_of(tab, "#earlier")
    time.sleep(0.3)
    assert len(tab.run("document.querySelector('#typed').value")) == length, "it has stopped"
    assert text_of(tab, "#write-on") == "Keep writing"


def test_each_of_several_quick_clicks_writes_a_token_and_typing_wins(tab, opened):
    opened()
    tab.run("document.querySelector('#top-k').value = 1")
    tab.run("for (let i = 0; i < 3; i++) document.querySelector('#write-one').click()")
    for _ in range(40):
        time.sleep(0.05)
        if len(tab.run("document.querySelector('#typed').value")) == len(WORDS) + 3:
            break
    time.sleep(0.2)
    assert len(tab.run("document.querySelector('#typed').value")) == len(WORDS) + 3
    tab.run(
        "document.querySelector('#write-one').click();"
        "document.querySelector('#typed').value = 'the';"
        "document.querySelector('#typed').dispatchEvent(new Event('input'))"
    )
    time.sleep(0.4)
    settle(tab)
    assert tab.run("document.querySelector('#typed').value")[:3] == "the"
    assert len(tab.run("document.querySelector('#typed').value")) <= 4


def test_a_request_that_fails_is_reported(tab, opened):
    opened()
    tab.run("modules.request.request('nonsense').catch(() => true)")
    tab.run(
        "modules.elements.reportFailure(Promise.reject(new Error('why')), 'What is shown is old').catch(() => true)"
    )
    assert text_of(tab, "#loading") == "What is shown is old: why."


def test_a_link_holds_text_head_and_switches(tab, opened):
    opened(prompt="the cat")
    tab.click("#heads .head:nth-child(3) input")
    tab.click("#heads .layer:nth-child(2) .head:nth-child(1) .pick")
    tab.click("input[value=rollout]")
    tab.click("#token-3")
    settle(tab)
    time.sleep(0.5)  # the page changes its address only after a pause
    link = tab.run("location.hash")
    found = dict(urllib.parse.parse_qsl(link[1:]))
    assert found == {"text": "the cat", "at": "3", "head": "L1H0", "view": "rollout", "off": "L0H2", "by": "mean"}
    tab.click("#share")
    assert tab.run("new Promise((r) => setTimeout(() => r(document.querySelector('#shared').textContent), 200))")
    before = [text_of(tab, selector) for selector in ("#loss", "#one-name", "#next-rows", "#tokens")]
    opened(prompt="sat", fragment=link)
    assert [text_of(tab, selector) for selector in ("#loss", "#one-name", "#next-rows", "#tokens")] == before
    tab.run("modules.page.state.change({ direction: 'to' })")
    tab.run("location.hash = '#text=on%20the&at=99&head=L9H9&off=L0H0,nonsense,L7H7&view=x&frame=77'")
    tab.run("new Promise((r) => setTimeout(r, 50))")
    settle(tab)
    assert text_of(tab, "#tokens") == "on·the"
    assert state(tab, "off") == [[0, 0]]
    assert state(tab, "direction") == "from", "values that are not in the link return to their defaults"


def test_the_slider_shows_maps_and_roles_of_each_step(tab, opened):
    opened(fragment="#frame=0")
    assert text_of(tab, "#step-output") == "step 0"
    roles, pictures = [], []
    for frame in range(3):
        tab.run(f"document.querySelector('#step').value = {frame}")
        tab.run("document.querySelector('#step').dispatchEvent(new Event('input'))")
        roles.append(text_of(tab, "#film-heads .head:nth-child(2) .role"))
        pictures.append(tab.run("document.querySelector('#film-heads .head:nth-child(2) canvas').toDataURL()"))
    assert roles == ["role 0", "role 1", "role 2"]
    assert len(set(pictures)) == 3
    tab.click("#play")
    time.sleep(1)
    assert state(tab, "frame") in (0, 1)


def test_pictures_are_saved(tab, opened, tmp_path):
    opened(fragment="#head=L0H1")
    tab.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    tab.click("#save-png")
    tab.click("#save-svg")
    wanted = [tmp_path / "L0H1-weights.png", tmp_path / "L0H1-weights.svg"]
    for _ in range(50):
        time.sleep(0.1)
        if all(path.is_file() and path.stat().st_size for path in wanted):
            break
    assert wanted[0].read_bytes()[:4] == b"\x89PNG"
    drawn = wanted[1].read_text()
    n = len(WORDS)
    assert drawn.count("<rect") == n * (n + 1) // 2 + 2
    assert "L0H1" in drawn


@pytest.mark.parametrize("of", [CharTokenizer, WordTokenizer, BytePairTokenizer])
def test_any_text_shows_as_itself(tab, opened, of):
    tokenizer = of.of([ODD], 300)
    opened(text=ODD, tokenizer=tokenizer, block_size=256)
    shown = [tokenizer.show(i) for i in tokenizer.encode(ODD).tolist()]
    tokens = tab.run("[...document.querySelectorAll('#tokens [role=option]')].map((s) => s.textContent)")
    assert len(tokens) == len(shown)
    assert "script" not in tab.run("[...document.querySelectorAll('#tokens *')].map((e) => e.tagName).join()").lower()
    if of is not BytePairTokenizer:
        assert [t for t, s in zip(tokens, shown, strict=True) if s.isascii() and s.isprintable() and " " not in s] == [
            s for s in shown if s.isascii() and s.isprintable() and " " not in s
        ]
    typed = tab.run("document.querySelector('#typed').value")
    assert typed == tokenizer.decode(tokenizer.encode(ODD).tolist())


def test_a_text_from_right_to_left_runs_that_way(tab, opened):
    opened(text="שלום עולם")
    lefts = tab.run(
        "[...document.querySelectorAll('#tokens [role=option]')].map((e) => e.getBoundingClientRect().left)"
    )
    assert lefts == sorted(lefts, reverse=True)
    tab.run("document.querySelector('#tokens').focus()")
    tab.press("Home", "ArrowLeft")
    settle(tab)
    assert state(tab, "at") == 1


@pytest.mark.parametrize("of", [CharTokenizer, WordTokenizer, BytePairTokenizer])
def test_tokens_equal_those_of_python(tab, opened, of):
    corpus = ODD + WORDS * 20 + "don't we'll I'm 1234  two  spaces\tand\u00a0more\u2003\n\n\x1fend 'tis"
    tokenizer = of.of([corpus], 400)
    opened(text="the cat", tokenizer=tokenizer, frames=0)
    bom = "\ufeffthe\x85cat" if of is BytePairTokenizer else "the"
    for text in (corpus, bom, WORDS, "don't we'll  I'm two", " \n \n", ODD[::-1] if of is BytePairTokenizer else "the"):
        ids = tokenizer.encode(text).tolist()
        found = tab.run(
            f"modules.tokens.tokenizerOf(JSON.parse(document.querySelector('#described').textContent).vocabulary).encode({json.dumps(text)})"
        )
        assert found == {"ids": ids, "unknown": []}
        back = tab.run(
            f"modules.tokens.tokenizerOf(JSON.parse(document.querySelector('#described').textContent).vocabulary).decode({json.dumps(ids)})"
        )
        assert back == tokenizer.decode(ids)


def test_a_text_is_fixed_if_the_page_lacks_the_rule_of_its_tokenizer(tab, opened):
    path = opened(prompt="the cat")
    document = path.read_text(encoding="utf-8")
    before = re.search(r'<script type="application/json" id="described">(.*?)</script>', document)[1]
    description = json.loads(before)
    ids = description["text"]
    for rule in ("syllables", None):
        description["vocabulary"]["split_rule"] = rule
        changed = json.dumps(description, ensure_ascii=False).replace("<", "\\u003c")
        path.write_text(document.replace(before, changed), encoding="utf-8")
        tab.open(path, "#text=mat&head=L1H2")
        settle(tab)
        assert state(tab, "ids") == ids, "the text of a link cannot be split either"
        assert state(tab, "head") == 2
        assert tab.run("document.querySelector('#typed').readOnly")
        assert tab.run("document.querySelector('#typed').value") == "the·cat"
        assert "cannot be edited, because" in text_of(tab, "label[for=typed]")
        tab.click("#write-one")
        settle(tab)
        tab.run("new Promise((r) => setTimeout(r, 50))")
        settle(tab)
        assert state(tab, "ids")[:-1] == ids, "writing needs no rule"


PANEL = """// The number of tokens, as an example.
import { element } from "./elements.js";

export const panel = {
  needs: "model",
  create() {
    const count = element("p", { id: "count" });
    document.querySelector("main").append(element("section", {}, count));
    return { update: ({ drawn }) => (count.textContent = `${drawn.ids.length} tokens`) };
  },
};
"""


def test_a_panel_is_a_module_and_one_row(tab, opened, tmp_path, monkeypatch):
    modules = tmp_path / "modules"
    shutil.copytree(model_page.FOLDER, modules)
    (modules / "count_panel.js").write_text(PANEL, encoding="utf-8")
    monkeypatch.setattr(model_page, "FOLDER", modules)
    monkeypatch.setattr(model_page, "PANELS", (*model_page.PANELS, "count_panel"))
    opened(prompt="the cat")
    assert text_of(tab, "#count") == "7 tokens"
    tab.run("modules.page.state.change({ ids: [1, 2, 3] })")
    settle(tab)
    assert text_of(tab, "#count") == "3 tokens"


def test_a_line_begins_with_its_newline_whatever_is_typed(tab, opened):
    tokenizer = LineTokenizer(vocab=["\n", *"acehmt "])
    opened(text="the cat", tokenizer=tokenizer, frames=0)
    assert state(tab, "ids") == tokenizer.encode("\nthe cat").tolist()
    for typed in ("mat", "\nmat", ""):
        tab.run(
            "(() => { const box = document.querySelector('#typed');"
            f" box.value = {json.dumps(typed)}; box.dispatchEvent(new Event('input')); }})()"
        )
        settle(tab)
        assert state(tab, "ids") == tokenizer.encode("\n" + typed.strip()).tolist()


def test_a_fixed_context_has_a_page_without_maps(tab, opened):
    torch.manual_seed(0)
    model = FixedContextMLP(len(set(WORDS)), 4, 8, 16, 32)
    torch.nn.init.normal_(model.head.weight)
    opened(model=model, frames=0)
    assert tab.run("document.querySelector('#look').hidden && document.querySelector('#training').hidden")
    before = text_of(tab, "#next-rows")
    tab.click("#token-3")
    settle(tab)
    assert text_of(tab, "#next-rows") != before
    tab.click("#write-one")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_no_serious_fault_and_no_element_is_wider_than_the_window(tab, opened, width, dark):
    path = opened(fragment="#off=L0H1&at=5&frame=1")
    tab.size(width, 900, dark)
    tab.open(path, "#off=L0H1&at=5&frame=1")
    settle(tab)
    assert_axe_finds_no_serious_fault(tab)
    assert_no_element_is_wider_than(tab, width)


def test_a_long_context_scrolls_smoothly(tab, opened):
    text = (WORDS * 50)[:1000]
    opened(text=text, block_size=1024, frames=0)
    tab.run("document.querySelector('#map').scrollIntoView()")
    longest = tab.run("""new Promise((resolve) => {
      const box = document.querySelector("#map .map");
      let [last, most, count] = [performance.now(), 0, 0];
      const step = (now) => {
        if (count > 3) most = Math.max(most, now - last);
        last = now;
        box.scrollTop = box.scrollLeft = count * 15;
        scrollBy(0, count % 2 ? 8 : -8);
        if (++count < 40) requestAnimationFrame(step); else resolve(most);
      };
      requestAnimationFrame(step);
    })""")
    assert tab.run(
        "(({scrollHeight, clientHeight}) => scrollHeight > clientHeight)(document.querySelector('#map .map'))"
    )
    assert longest < 100, f"a frame took {longest:.0f} ms"


def test_the_demo_is_small_and_opens(tab):
    demo = ROOT / "docs" / "demo.html"
    assert demo.stat().st_size < 3_000_000
    tab.complaints.clear()
    tab.size(1280, 900)
    tab.open(demo, "#off=L1H0")
    settle(tab)
    assert float(text_of(tab, "#difference")) > 0.1, "this head is needed"
    assert "L1H0: local" in text_of(tab, "#one-name")
    assert tab.run("document.querySelector('#step').max") == "5"
    assert tab.complaints == []
