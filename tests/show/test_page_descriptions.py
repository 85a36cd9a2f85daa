"""The descriptions of heads on the page: sentence, bars, predicted map, and the third position of a switch."""

import json
import math
import re
import time
import urllib.parse

import pytest
import torch

from headscope.data.tokenizers import CharTokenizer
from headscope.show.page import page
from headscope.show.request import ShowRequest
from tests.conftest import small
from tests.show.random_rules import describe_all, described, random_rule, vocabulary_of
from tests.show.tabs import assert_axe_finds_no_serious_fault, assert_no_element_is_wider_than, settle, text_of

pytestmark = pytest.mark.browser
TEXT = "the cat sat\non the mat\n"
TOKENIZER = CharTokenizer(vocab=sorted(set(TEXT)))
SHARES = {"place": 0.31, "structure": 0.2, "identity": 0.05, "content": 0.15}


@pytest.fixture
def opened(tab, tmp_path):
    """Opens the page of a model whose heads have descriptions; checks that the console stays empty."""
    tab.complaints.clear()
    tab.size(1280, 900)

    def open_page(fragment="", descriptions=None, n_heads=3, **shares):
        model = small(vocab_size=len(TOKENIZER), d_model=24, n_heads=n_heads, block_size=32).eval()
        given = describe_all(model, TOKENIZER, **(shares or SHARES)) if descriptions is None else descriptions
        about = {"passages": (torch.arange(8 * 12).view(8, 12) ** 2 % len(TOKENIZER)).tolist()}
        path = tmp_path / "page.html"
        asked = ShowRequest(model, TOKENIZER, TEXT, path, about)
        path.write_text(page(asked, descriptions=given), encoding="utf-8")
        tab.open(path, fragment)
        settle(tab)
        return path

    yield open_page
    assert tab.complaints == []


def rule_of(seed):
    return random_rule(vocabulary_of(TOKENIZER), 32, seed)


def rows(tab):
    """Returns the rows of the table of shares, by their names."""
    found = tab.run(
        "[...document.querySelectorAll('#shares-table tbody tr')]"
        ".map((tr) => [...tr.children].map((cell) => cell.textContent))"
    )
    return {name: cells for name, *cells in found}


def widths(tab, n=1):
    """Returns the shares of a bar that its parts fill."""
    return tab.run(
        f"(([...bar]) => bar.map((part) => part.offsetWidth / part.parentElement.clientWidth))"
        f"(document.querySelectorAll('#shares > div:nth-child({n}) .shares i'))"
    )


def switch(layer, head, position):
    card = f"#heads .layer:nth-child({layer + 1}) .head:nth-child({head + 1})"
    return f"{card} input[value={position}]"


def test_the_sentence_the_bars_and_the_table_of_the_chosen_head(tab, opened):
    opened("#head=L1H2")
    assert text_of(tab, "#one-sentence") == "L1H2 looks at <the> first letter of its word & at newlines."
    assert rows(tab) == {
        "place": ["31%", "23%"],
        "structure": ["20%", "23%"],
        "identity": ["5.0%", "23%"],
        "content": ["15%", "23%"],
        "unexplained": ["29%", "8.0%"],
        "recovered": ["71% ± 5.0%", "92% ± 3.0%"],
    }
    assert widths(tab) == pytest.approx([0.31, 0.2, 0.05, 0.15, 0.29], abs=0.01)
    spoken = tab.run("document.querySelector('#shares [role=img]').getAttribute('aria-label')")
    assert spoken == "readable rule: place 31%, structure 20%, identity 5.0%, content 15%, unexplained 29%"
    assert "0.048 ± 0.006 nats per character" in text_of(tab, "#shares-note")
    tab.click("#heads .head:nth-child(1) .pick")
    settle(tab)
    assert text_of(tab, "#one-sentence").startswith("L0H0 looks")


@pytest.mark.parametrize(
    ("shares", "unexplained", "drawn"),
    [
        ({"place": -0.72, "content": 1.35}, "37%", [0, 0, 0, 1.35 / 1.72, 0.37 / 1.72]),
        ({"place": 0.9, "structure": 0.45}, "−35%", [0.9 / 1.35, 0.45 / 1.35, 0, 0, 0]),
        ({"place": -3.0}, "400%", [0, 0, 0, 0, 1]),
        ({"place": 1.0, "content": -0.0001}, "0.0%", [1, 0, 0, 0, 0]),
        ({"place": math.nan}, "not measured", [0, 0, 0, 0, 0]),
    ],
)
def test_any_shares_fill_at_most_the_bar_and_keep_their_numbers(tab, opened, shares, unexplained, drawn):
    opened(descriptions=[described(0, 0, rule_of(0), recovered=math.nan, **shares)])
    found = rows(tab)
    assert found["unexplained"][0] == unexplained
    assert found["recovered"][0] == "not measured"
    for kind, x in shares.items():
        wanted = "not measured" if math.isnan(x) else f"{'−' if x < -0.001 else ''}{abs(x):.0%}"
        wanted = {"0%": "0.0%"}.get(wanted, wanted)
        assert found[kind][0] == wanted
    assert widths(tab) == pytest.approx(drawn, abs=0.01)


def test_a_head_whose_cost_is_within_the_noise_has_no_shares(tab, opened):
    opened("#head=L0H0", descriptions=[described(0, h, rule_of(h), recovered=(None, 0.7, None)[h]) for h in range(3)])
    seen = []
    for h in range(3):
        tab.run(f"modules.page.state.change({{ head: {h} }})")
        settle(tab)
        seen.append(tab.run("document.querySelector('#one-shares').offsetHeight > 0"))
        assert text_of(tab, "#one-sentence").startswith(f"L0H{h} looks")
        assert tab.run("document.querySelector('#predicted').offsetHeight") > 100
    assert seen == [False, True, False]


def difference(tab):
    return float(text_of(tab, "#difference").replace("−", "-"))


def nats(tab):
    return float(re.search(r": (\d\.\d{3}) nats", text_of(tab, "#loss"))[1])


def test_the_third_position_replaces_the_attention_and_shows_the_effect(tab, opened):
    opened("#head=L0H1")
    before, first = nats(tab), text_of(tab, "#next-rows")
    assert "which now replaces" not in text_of(tab, "#predicted-caption")
    tab.click(switch(0, 1, "predicted"))
    settle(tab)
    assert "with L0H1 replaced by its description" in text_of(tab, "#loss")
    assert nats(tab) - before == pytest.approx(difference(tab), abs=0.0011)
    assert "which now replaces its own attention" in text_of(tab, "#predicted-caption")
    assert text_of(tab, "#next-rows") != first
    assert tab.run("!document.querySelector('#next-change').hidden")
    replaced = nats(tab)
    tab.click(switch(0, 1, "off"))
    settle(tab)
    assert "without L0H1" in text_of(tab, "#loss")
    assert nats(tab) != replaced
    tab.click(switch(1, 0, "predicted"))
    tab.click(switch(1, 2, "predicted"))
    settle(tab)
    assert "without L0H1 and with L1H0, L1H2 replaced by their descriptions" in text_of(tab, "#loss")
    tab.click("#all-on")
    settle(tab)
    assert nats(tab) == before
    assert text_of(tab, "#next-rows") == first
    assert tab.run("[...document.querySelectorAll('.positions :checked')].map((i) => i.value)") == ["on"] * 6


def test_a_link_keeps_the_replaced_heads(tab, opened):
    opened()
    tab.click(switch(1, 2, "predicted"))
    tab.click(switch(0, 0, "off"))
    settle(tab)
    time.sleep(0.5)  # the page changes its address only after a pause
    link = tab.run("location.hash")
    found = dict(urllib.parse.parse_qsl(link[1:]))
    assert (found["off"], found["predicted"]) == ("L0H0", "L1H2")
    shown = text_of(tab, "#loss")
    opened(link)
    assert text_of(tab, "#loss") == shown
    assert tab.run(f"document.querySelector('{switch(1, 2, 'predicted')}').checked")
    opened(link, descriptions=[])
    assert "replaced" not in text_of(tab, "#loss"), "heads without a description cannot be replaced"


def test_the_switch_by_keyboard_and_for_screen_readers(tab, opened):
    opened()
    state = "JSON.stringify([modules.page.state.off, modules.page.state.predicted])"
    tab.run("document.querySelector('#heads .pick[aria-pressed=true]').focus()")
    seen = []
    for key in ("d", "o", "d", "d"):
        tab.press(key)
        settle(tab)
        seen.append(json.loads(tab.run(state)))
    chosen = [[tab.run("modules.page.state.layer"), tab.run("modules.page.state.head")]]
    assert seen == [[[], chosen], [chosen, []], [[], chosen], [[], []]]
    tab.run(f"document.querySelector('{switch(0, 1, 'on')}').focus()")
    tab.press("ArrowRight", "ArrowRight")
    settle(tab)
    assert json.loads(tab.run(state)) == [[], [[0, 1]]]
    outline = "getComputedStyle(document.activeElement.closest('label')).outlineStyle"
    assert tab.run(outline) == "solid", "the focus shows"
    names = tab.run(
        "[...document.querySelectorAll('#heads .head:nth-child(2) [role=radiogroup]')].map((g) =>"
        " [g.getAttribute('aria-label'), ...[...g.querySelectorAll('input')].map((i) => i.getAttribute('aria-label'))])"
    )
    assert names[0] == ["L0H1", "on", "off", "rule: the description replaces the attention"]


def test_the_predicted_map_is_beside_the_real_one_and_both_show_the_same_cell(tab, opened):
    opened("#head=L1H1&at=9")
    left, right = (
        tab.run(
            "(({ left, top, width }) => [left, top, width])"
            f"(document.querySelector('{box} .area').getBoundingClientRect())"
        )
        for box in ("#map", "#predicted-map")
    )
    assert left[0] + left[2] < right[0]
    assert left[1:] == right[1:], "the maps begin at the same height and have the same size"
    wanted = rule_of(4).map(TOKENIZER.encode(TEXT)[None], vocabulary_of(TOKENIZER))[0]
    for box in ("#predicted-map", "#map"):
        tab.hover(f"{box} .area")
        x, y = tab.middle(f"{box} .area")
        tab.call("Input.dispatchMouseEvent", type="mouseMoved", x=x - 30, y=y + 30)
        shown = [text_of(tab, f"{of} .readout") for of in ("#map", "#predicted-map")]
        (where, value), (predicted_where, predicted_value) = (
            re.fullmatch(r"(.*): (\d\.\d{4})", s).groups() for s in shown
        )
        assert predicted_where == f"predicted {where}"
        i, j = (int(k) for k in re.findall(r"\((\d+)\)", where))
        assert float(predicted_value) == pytest.approx(float(wanted[i, j]), abs=6e-5)
        assert value != predicted_value
    tab.run("document.querySelector('#predicted-map .map').focus()")
    tab.press("ArrowDown", "Enter")
    settle(tab)
    assert tab.run("modules.page.state.at") == 10


def test_the_predicted_map_follows_the_text_and_the_head(tab, opened):
    opened("#head=L0H0")
    picture = "document.querySelector('#predicted-map .area canvas').toDataURL()"
    seen = [tab.run(picture)]
    tab.click("#heads .head:nth-child(2) .pick")
    settle(tab)
    seen.append(tab.run(picture))
    tab.run("modules.page.state.change({ ids: [1, 2, 3, 1, 2, 3, 4] })")
    settle(tab)
    seen.append(tab.run(picture))
    assert len(set(seen)) == 3
    tab.run("modules.page.state.change({ ids: [1] })")
    settle(tab)
    assert text_of(tab, "#predicted-map .readout") == "The text has one token, which attends only to itself."


def test_heads_without_a_description_have_no_empty_panel(tab, opened):
    opened(descriptions=[])
    hidden = "['#one-rule', '#predicted'].map((s) => document.querySelector(s).hidden)"
    assert tab.run(hidden) == [True, True]
    assert tab.run("document.querySelectorAll('.positions').length") == 0
    assert tab.run("[...document.querySelectorAll('#look [data-needs=descriptions]')].every((e) => e.hidden)")
    tab.press("d")
    opened("#head=L0H0", descriptions=[described(1, 1, rule_of(0))])
    assert tab.run(hidden) == [True, True]
    assert tab.run("document.querySelectorAll('.positions').length") == 1
    tab.click("#heads .layer:nth-child(2) .head:nth-child(2) .pick")
    settle(tab)
    assert tab.run(hidden) == [False, False]


def test_generated_text_comes_from_the_model_with_replaced_heads(tab, opened):
    opened("#predicted=L0H0,L0H1,L0H2,L1H0,L1H1,L1H2")
    tab.run("document.querySelector('#temperature').value = 0")
    tab.click("#write-one")
    tab.run("new Promise((r) => setTimeout(r, 100))")
    settle(tab)
    ids = tab.run("modules.page.state.ids")
    asked = {"ids": ids[:-1], "off": [], "by": "zero", "predicted": [[x, y] for x in range(2) for y in range(3)]}
    best = tab.run(
        f"modules.request.request('logits', {json.dumps(asked)}).then(({{ logits }}) =>"
        f" {{ const last = [...logits.slice(-{len(TOKENIZER)})]; return last.indexOf(Math.max(...last)); }})"
    )
    assert len(ids) == len(TEXT) + 1
    assert ids[-1] == best


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 390, 320])
def test_axe_finds_no_serious_fault_and_nothing_is_wider_than_the_window(tab, opened, width, dark):
    path = opened(n_heads=4)
    tab.size(width, 900, dark)
    tab.open(path, "#off=L0H1&predicted=L0H0,L1H1&head=L1H1&at=5")
    settle(tab)
    assert_axe_finds_no_serious_fault(tab)
    assert_no_element_is_wider_than(tab, width)
    cut = "[...document.querySelectorAll('.positions')].filter((e) => e.scrollWidth > e.clientWidth).length"
    assert tab.run(cut) == 0
