"""The page's script is joined from modules in the order of their imports, and arrays are packed into text."""

import base64
import gzip
import re

import numpy as np
import pytest

from headscope.render.model_page import EXPORT, IMPORT, PANELS, compress, join_modules, pack, page_script
from tests.conftest import ROOT

MODULES = ROOT / "src/headscope/render/model_page"


def joined(script):
    """The names of the modules in a script, in their order."""
    return re.findall(r"^modules\.(\w+) = ", script, re.MULTILINE)


@pytest.mark.parametrize("script", [page_script(), join_modules("worker")], ids=["page", "worker"])
def test_every_module_is_joined_once_after_those_that_it_imports(script):
    order = joined(script)
    assert len(order) == len(set(order))
    for place, name in enumerate(order):
        for found in IMPORT.finditer((MODULES / f"{name}.js").read_text(encoding="utf-8")):
            assert found["module"] in order[:place], f"{name} needs {found['module']} before it"
            exported = EXPORT.findall((MODULES / f"{found['module']}.js").read_text(encoding="utf-8"))
            assert set(found["names"].split(", ")) <= set(exported)
    assert not re.search(r"^(import|export)\b", script, re.MULTILINE)


def test_no_module_is_unused():
    assert {path.stem for path in MODULES.glob("*.js")} == {*joined(page_script()), *joined(join_modules("worker"))}
    assert {path.stem for path in MODULES.glob("*_panel.js")} == set(PANELS)


def test_modules_are_small():
    for path in MODULES.glob("*.js"):
        lines = path.read_text(encoding="utf-8").splitlines()
        assert lines[0].startswith("//"), f"{path.name} lacks a description"
        assert len(lines) <= 250, path.name


def test_the_script_knows_no_scheme_by_name():
    script = join_modules("worker") + page_script()
    for scheme in ("rotary", "rope", "alibi", "sinusoidal", "learned pos", "nope"):
        assert not re.search(rf"\b{scheme}", script, re.IGNORECASE)


def test_equal_arrays_share_their_bytes_and_take_16_bits_where_that_is_exact():
    third, half = np.float32([1 / 3, 2]), np.float32([[0.5, -2.0]])
    description, content = pack({"a": [third, half], "b": {"again": third.copy(), "text": "x", "none": None}})
    first, second = description["a"]
    assert first == {"tensor": 0, "shape": [2], "type": "float32"}
    assert second == {"tensor": 8, "shape": [1, 2], "type": "float16"}
    assert description["b"] == {"again": first, "text": "x", "none": None}
    assert content == third.astype("<f4").tobytes() + half.astype("<f2").tobytes()
    assert content == pack({"a": [third, half]})[1]


def test_equal_bytes_are_compressed_to_equal_text():
    content = bytes(range(256)) * 3
    assert gzip.decompress(base64.b64decode(compress(content))) == content
    assert compress(content) == compress(content)
