"""Builds the page that runs a model: one HTML file with its style, script and weights, which loads no other file.

The script consists of the JavaScript modules in `model_page/`. Each module can be read and tested by itself.
"""

import base64
import gzip
import json
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

import numpy as np

from headscope.render.pages import render_page

FOLDER = resources.files("headscope.render") / "model_page"
#: The panels of the page in the order in which they are updated: modules that export `panel` (see `page.js`).
PANELS = (
    *("typing_panel", "writing_panel", "text_panel", "loss_panel", "heads_panel"),
    *("head_panel", "description_panel", "next_panel", "lens_panel", "logit_panel", "training_panel"),
)
IMPORT = re.compile(r'^import \{ (?P<names>[\w$, ]+) \} from "\./(?P<module>\w+)\.js";$', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const|let) (?P<name>[\w$]+))", re.MULTILINE)


def page_script() -> str:
    """Returns the script of the page, which starts `page.js` with the panels."""
    panels = ", ".join(f"modules.{name}.panel" for name in PANELS)
    return f"{join_modules('page', *PANELS)}\nmodules.page.start([{panels}]);"


def join_modules(*names: str) -> str:
    """Joins modules of `model_page/` and their imports into one script, in which every module follows its imports.

    Each module becomes a function, which keeps its names private, and the object `modules` holds their exports.
    """
    parts: dict[str, str] = {}

    def add(name: str) -> None:
        if name in parts:
            return
        source = (FOLDER / f"{name}.js").read_text(encoding="utf-8")
        for imported in IMPORT.finditer(source):
            add(imported["module"])
        exports = ", ".join(m["name"] for m in EXPORT.finditer(source))
        body = EXPORT.sub("", IMPORT.sub(r"const { \g<names> } = modules.\g<module>;", source))
        parts[name] = f"modules.{name} = (() => {{\n{body}\nreturn {{ {exports} }};\n}})();"

    for name in names:
        add(name)
    script = "\n".join(('"use strict";', "const modules = {};", *parts.values()))
    assert not re.search("</script|<!--", script, re.IGNORECASE), "the script contains text that would end its element"
    return script


def model_page(texts: Mapping[str, str], description: dict[str, Any], film: bytes) -> str:
    """Returns the HTML of the page.

    `texts` has the title, the summary, the unit (what a token is called), the precision of the weights, and `why`: the
    reason why the page cannot run the model, or an empty text. `description` holds all data for the script, as nested
    dicts and lists with arrays. `film` holds attention maps recorded during training, one byte per weight, or nothing.
    """
    without_arrays, weights = pack(description)
    described = json.dumps(without_arrays | {"title": texts["title"]}, ensure_ascii=False, separators=(",", ":"))
    return render_page(
        "model.html",
        **texts,
        page_script=page_script(),
        worker_script=join_modules("worker"),
        described=described.replace("<", "\\u003c"),  # otherwise a text could end the script element or start a comment
        weights=compress(weights),
        film=compress(film) if film else "",
    )


def pack(tree: Any) -> tuple[Any, bytes]:
    """Moves the arrays in nested dicts and lists into bytes, as float16 if no number loses precision, else as float32.

    In the returned tree, each array is `{"tensor": offset in bytes, "shape": [...], "type": "float16" | "float32"}`.
    Equal arrays share their bytes.
    """
    content = bytearray()
    offsets: dict[bytes, int] = {}

    def without_arrays(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: without_arrays(value) for key, value in part.items()}
        if isinstance(part, list):
            return [without_arrays(value) for value in part]
        if not isinstance(part, np.ndarray):
            return part
        with np.errstate(over="ignore"):
            short = part.astype("<f2")
        exact = np.array_equal(short.astype(part.dtype), part)
        data = (short if exact else part.astype("<f4")).tobytes()
        if data not in offsets:
            offsets[data] = len(content)
            content.extend(data)
        return {"tensor": offsets[data], "shape": list(part.shape), "type": "float16" if exact else "float32"}

    return without_arrays(tree), bytes(content)


def compress(content: bytes) -> str:
    """Returns bytes as gzipped, base64-encoded text for an HTML page. Equal bytes give equal text."""
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()
