"""Single modules of the page's script give the same results as PyTorch and Python."""

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from headscope.generation.decode import context_start
from headscope.render.model_page import join_modules
from tests.browser import browser

pytestmark = pytest.mark.browser
MODULES = ("numbers", "activations", "sampling", "unpack", "state", "elements", "axis")


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as tab:
        tab.run(
            join_modules(*MODULES).replace('"use strict";', "").replace("const modules", "globalThis.modules")
            + "; true"
        )
        yield tab


def numbers(x):
    return json.dumps(x.flatten().tolist())


@pytest.mark.parametrize(
    ("rows", "n_in", "n_out"), [(1, 1, 1), (4, 4, 4), (5, 3, 7), (9, 8, 6), (3, 16, 5), (8, 7, 12)]
)
@pytest.mark.parametrize("bias", [False, True])
def test_products_of_any_size(tab, rows, n_in, n_out, bias):
    torch.manual_seed(0)
    x, w, b = torch.randn(rows, n_in), torch.randn(n_out, n_in), torch.randn(n_out)
    for first in {0, rows // 2}:
        found = tab.run(
            f"(() => {{ const out = new Float32Array({rows * n_out}).fill(7); modules.numbers.product("
            f"Float32Array.from({numbers(x)}), Float32Array.from({numbers(w)}),"
            f" {f'Float32Array.from({numbers(b)})' if bias else 'null'}, out, {first}, {rows}, {n_in}, {n_out});"
            " return [...out]; })()"
        )
        wanted = F.linear(x, w, b if bias else None)
        wanted[:first] = 7
        torch.testing.assert_close(torch.tensor(found).view(rows, n_out), wanted, atol=1e-5, rtol=1e-5)


def test_a_norm_and_a_softmax(tab):
    torch.manual_seed(0)
    x, w, b = torch.randn(3, 6) * 9 + 4, torch.randn(6), torch.randn(6)
    found = tab.run(
        f"(() => {{ const x = Float32Array.from({numbers(x)}); const out = new Float32Array(6);"
        f" modules.numbers.layerNorm(x, 6, out, 0, 6, 1e-5, {numbers(w)}, {numbers(b)}); return [...out]; }})()"
    )
    torch.testing.assert_close(torch.tensor(found), F.layer_norm(x[1], (6,), w, b), atol=1e-5, rtol=1e-5)
    large = [1000.0, 1001.0, -1e30, 999.0]
    found = tab.run(f"(() => {{ const x = {large}; modules.numbers.softmax(x, 4); return x; }})()")
    torch.testing.assert_close(torch.tensor(found), torch.tensor(large).softmax(-1), atol=1e-6, rtol=0)


def test_the_error_function(tab):
    x = torch.linspace(-6, 6, 401, dtype=torch.float64)
    found = torch.tensor(tab.run(f"{numbers(x)}.map(modules.activations.erf)"), dtype=torch.float64)
    assert (found - torch.erf(x)).abs().max() < 1.3e-7


def test_every_number_of_16_bits(tab):
    bits = np.arange(1 << 16, dtype=np.uint16)
    wanted = bits.view(np.float16).astype(np.float64)
    finite = np.isfinite(wanted)
    found = np.array(
        tab.run("Array.from({ length: 65536 }, (_, bits) => modules.unpack.numberFromHalf(bits))"), dtype=np.float64
    )
    assert np.array_equal(found[finite], wanted[finite])


def test_where_a_context_begins(tab):
    for block in (1, 2, 3, 7, 16):
        found = tab.run(f"Array.from({{ length: 60 }}, (_, n) => modules.sampling.contextStart(n, {block}))")
        assert found == [context_start(n, block) for n in range(60)]


def test_a_draw_orders_ties_by_their_ids(tab):
    draw = lambda *given: tab.run(f"modules.sampling.draw({', '.join(map(str, given))})")  # noqa: E731
    assert draw([1, 3, 3, 2], 0, 0, 0.9) == 1
    assert draw([1, 3, 3, 2], 1, 1, 0.9) == 1
    assert draw([1, 3, 3, 2], 1, 2, 0.9) == 2
    share = math.exp(3) / (2 * math.exp(3) + math.exp(2) + math.exp(1))
    assert [draw([1, 3, 3, 2], 1, 0, u) for u in (0, share - 1e-6, share + 1e-6, 0.999999999)] == [1, 1, 2, 0]


def test_a_link_restores_the_state(tab):
    text = 'a&b=c#%20 + ünï\n"<👩‍🚀>'
    found = tab.run(
        "(() => { const state = { at: 3, layer: 1, head: 2, view: 'rollout', direction: 'to', off: [[0, 1], [1, 0]],"
        " predicted: [[0, 2], [1, 1]],"
        f" by: 'zero', frame: 1, frames: 4 }}; const link = modules.state.toFragment(state, {json.dumps(text)}, true);"
        " const allowed = { sizes: { layers: 2, heads: 3 }, frames: 4, replacements: ['mean', 'zero'],"
        " described: ['L0H1', 'L0H2', 'L1H1'] };"
        " return modules.state.fromFragment('#' + link, allowed); })()"
    )
    assert found == {
        "text": text,
        "at": 3,
        "layer": 1,
        "head": 2,
        "view": "rollout",
        "direction": "to",
        "off": [[0, 1], [1, 0]],
        "predicted": [[0, 2], [1, 1]],
        "by": "zero",
        "frame": 1,
    }


@pytest.mark.parametrize(
    ("link", "wanted"),
    [
        ("predicted=L0H2,L1H1", [[0, 2], [1, 1]]),
        ("predicted=L0H2,L0H2,L1H0,L9H9,x", [[0, 2]]),  # twice; without a description; not in the model
        ("off=L0H2&predicted=L0H2,L1H1", [[1, 1]]),  # a switch has one position
        ("", []),
    ],
)
def test_a_link_replaces_only_heads_with_a_description(tab, link, wanted):
    found = tab.run(
        f"modules.state.fromFragment('#{link}', {{ sizes: {{ layers: 2, heads: 3 }}, frames: 1, replacements: ['zero'],"
        " described: ['L0H2', 'L1H1'] }).predicted"
    )
    assert found == wanted


def test_a_switch_has_one_position(tab):
    found = tab.run("""(() => {
      const state = new modules.state.State({ off: [], predicted: [] });
      const seen = [];
      const press = (...given) => { state.toggle(...given); seen.push([state.off, state.predicted]); };
      press(1, 0, "off");
      press(0, 1, "predicted");
      press(0, 0, "predicted");
      press(1, 0, "predicted");
      press(0, 0, "off");
      press(0, 1, "predicted");
      state.setSwitch(1, 0, "on");
      return [...seen, [state.off, state.predicted], state.positionOf(0, 0), state.positionOf(1, 0)];
    })()""")
    assert found == [
        [[[1, 0]], []],
        [[[1, 0]], [[0, 1]]],
        [[[1, 0]], [[0, 0], [0, 1]]],
        [[], [[0, 0], [0, 1], [1, 0]]],
        [[[0, 0]], [[0, 1], [1, 0]]],
        [[[0, 0]], [[1, 0]]],
        [[[0, 0]], []],
        "off",
        "on",
    ]


@pytest.mark.parametrize("longest", [1, 2, 5, 12, 60])
def test_labels_of_any_map_have_space(tab, longest):
    for side in (280, 350, 530, 620):
        for n in (2, 9, 40, 41, 64, 200, 1000):
            axis = tab.run(f"modules.axis.axisOf({side}, {n}, {longest})")
            assert axis["margin"] <= 110
            assert axis["size"] * n + axis["margin"] <= side or axis["size"] == 2
            assert axis["rows"]["pitch"] >= 11
            assert axis["columns"]["pitch"] >= (7 if longest == 1 else 11)
            if longest == 1:
                assert axis["rows"]["every"] == axis["columns"]["every"] == 1, "every character is labelled"
