"""Scripts joined into one, and arrays packed into text."""

import base64
import gzip
import re

import numpy as np

from headscope.render.model_page import EXPORT, IMPORT, IN_PAGE, IN_WORKER, joined
from headscope.render.packed import Packed
from tests.conftest import ROOT

FOLDER = ROOT / "src/headscope/render/model_page"


def test_every_module_is_joined_after_those_that_it_imports():
    assert {path.stem for path in FOLDER.glob("*.js")} == {*IN_PAGE, *IN_WORKER}
    for order in (IN_PAGE, IN_WORKER):
        for place, name in enumerate(order):
            source = (FOLDER / f"{name}.js").read_text(encoding="utf-8")
            for found in IMPORT.finditer(source):
                assert found["module"] in order[:place], f"{name} needs {found['module']} before it"
                offered = EXPORT.findall((FOLDER / f"{found['module']}.js").read_text(encoding="utf-8"))
                assert set(found["names"].split(", ")) <= set(offered)
        assert not re.search(r"^(import|export)\b", joined(order), re.MULTILINE)


def test_modules_are_small():
    for path in FOLDER.glob("*.js"):
        lines = path.read_text(encoding="utf-8").splitlines()
        assert lines[0].startswith("//"), f"{path.name} says what it is"
        assert len(lines) < 260, path.name


def test_the_script_knows_no_scheme_by_name():
    script = joined(IN_WORKER) + joined(IN_PAGE)
    for scheme in ("rotary", "rope", "alibi", "sinusoidal", "learned pos", "nope"):
        assert not re.search(rf"\b{scheme}", script, re.IGNORECASE)


def test_arrays_are_laid_down_once_and_in_16_bits_where_that_is_exact():
    third, half = np.float32([1 / 3, 2]), np.float32([[0.5, -2.0]])
    packed = Packed({"a": [third, half], "b": {"again": third.copy(), "text": "x", "none": None}})
    first, second = packed.description["a"]
    assert first == {"tensor": 0, "shape": [2], "type": "float32"}
    assert second == {"tensor": 8, "shape": [1, 2], "type": "float16"}
    assert packed.description["b"] == {"again": first, "text": "x", "none": None}
    content = gzip.decompress(base64.b64decode(packed.text()))
    assert content == third.astype("<f4").tobytes() + half.astype("<f2").tobytes()
    assert packed.text() == Packed({"a": [third, half]}).text()
