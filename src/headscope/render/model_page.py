"""Writes the page that runs a model: markup, style, script, description and weights in one file that loads no other.

The script consists of the modules in `model_page/`: plain JavaScript that can be read and tested one module at a time.
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
    *("head_panel", "next_panel", "lens_panel", "logit_panel", "training_panel"),
)
IMPORT = re.compile(r'^import \{ (?P<names>[\w$, ]+) \} from "\./(?P<module>\w+)\.js";$', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const|let) (?P<name>[\w$]+))", re.MULTILINE)


def page_script() -> str:
    """Returns the script of the page, which starts `page.js` with the panels."""
    panels = ", ".join(f"modules.{name}.panel" for name in PANELS)
    return f"{join_modules('page', *PANELS)}\nmodules.page.start([{panels}]);"


def join_modules(*names: str) -> str:
    """Joins modules of `model_page/` and everything that they import into one script, each after its imports.

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
    assert not re.search("</script|<!--", script, re.IGNORECASE), "that would end the script element"
    return script


def model_page(texts: Mapping[str, str], description: dict[str, Any], film: bytes) -> str:
    """Returns the HTML of the page.

    `texts` has the title, summary, unit (the name of one token), precision (of the weights), and `why`: the reason why
    the page cannot run the model, or an empty text. The description is all data that the script reads, as JSON with
    arrays. The film holds the maps at each picture step of the training, one byte per weight; it may be empty.
    """
    without_arrays, weights = pack(description)
    described = json.dumps(without_arrays | {"title": texts["title"]}, ensure_ascii=False, separators=(",", ":"))
    return render_page(
        "model.html",
        **texts,
        page_script=page_script(),
        worker_script=join_modules("worker"),
        described=described.replace("<", "\\u003c"),  # else a text could end the script element or open a comment
        weights=compress(weights),
        film=compress(film) if film else "",
    )


def pack(tree: Any) -> tuple[Any, bytes]:
    """Moves the arrays of nested dicts and lists into bytes, with 16 bits per number if an array has only such numbers.

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
    """Returns bytes as text for a document: gzip in base64, the same text for the same bytes."""
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()
