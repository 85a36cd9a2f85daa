"""`show=attention` draws every head on a text into a folder."""

import numpy as np
import pytest
from PIL import Image

from headscope.data.tokenizers import CharTokenizer
from headscope.errors import UserError
from headscope.heads.capture import look
from headscope.heads.flow import rollout, views
from headscope.render.pictures import ALONE, maps_picture
from headscope.show import attention
from headscope.show.request import ShowRequest
from tests.conftest import SCHEMES, small

TOKENIZER = CharTokenizer(vocab=list("\n abcdefgh["))
NAMES = ["L0H0", "L0H1", "L1H0", "L1H1", "attention-layer_0", "attention-layer_1"]
NAMES += ["norm_weighted-layer_0", "norm_weighted-layer_1", "rollout"]


def request(prompt, folder, **options):
    return ShowRequest(small().eval(), TOKENIZER, prompt, folder / "best.ckpt", **options)


@pytest.mark.parametrize("prompt", ["", "abc [da\n", "abcdefgh" * 5])
def test_one_picture_a_head_and_three_kinds_of_all(prompt, tmp_path, capsys):
    attention.show(request(prompt, tmp_path, about={"step": 700}))
    folder = tmp_path / "best-step700-attention"
    assert capsys.readouterr().out == f"{folder}\n"
    assert sorted(path.stem for path in folder.iterdir()) == NAMES
    for path in folder.iterdir():
        with Image.open(path) as picture:
            assert picture.format == "PNG"
            assert min(picture.size) > 100


def test_a_head_is_drawn_with_its_name_and_its_role(tmp_path, monkeypatch):
    given = request("abc [da\n", tmp_path, out=tmp_path / "here")
    monkeypatch.setattr("headscope.heads.table.role_labels", lambda reports: {(1, 0): "induction"})
    attention.show(given)
    tokens = list("abc [da\n")
    maps = look(given.model, given.context(), "maps").maps[:, 0].double().numpy()
    title = "L1H0: induction, best"
    wanted = maps_picture(maps[1, :1], tokens, title, ["each row shows where one token attends"], pixels=ALONE)
    with Image.open(tmp_path / "here" / "L1H0.png") as picture:
        assert np.array_equal(np.asarray(picture), wanted)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_pictures_of_layers_show_weights_what_is_moved_and_rollout(scheme, monkeypatch):
    drawn = []
    monkeypatch.setattr(attention, "maps_picture", lambda maps, *rest: drawn.append((maps, rest)))
    model = small(scheme).train()
    ids = TOKENIZER.encode("abc [da\n")[None]
    assert list(attention.layer_pictures(views(model, ids), list("abc [da\n"), "step 3", {(0, 1): "sink"})) == [
        "attention/layer_0",
        "norm_weighted/layer_0",
        "attention/layer_1",
        "norm_weighted/layer_1",
        "rollout",
    ]
    seen = look(model, ids, "maps", "heads")
    for layer in range(2):
        (weights, _), (moved, rest) = drawn[2 * layer : 2 * layer + 2]
        np.testing.assert_allclose(weights, seen.maps[layer, 0].double())
        assert rest[-1] == moved.max()  # the darkest colour
        at_0 = seen.heads[layer, 0, :, 0].norm(dim=-1)  # position 0 attends only to itself
        np.testing.assert_allclose(moved[:, 0, 0], at_0.double(), rtol=1e-5)
    assert drawn[0][1][2] == ["L0H0", "L0H1: sink"]
    np.testing.assert_allclose(drawn[-1][0], rollout(seen.maps)[:, 0].double(), rtol=1e-6)


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "out.png").write_text("mine")
    with pytest.raises(UserError, match=r"out.png is a file; choose a folder"):
        attention.show(request("a", tmp_path, out=tmp_path / "out.png"))
    assert (tmp_path / "out.png").read_text() == "mine"
