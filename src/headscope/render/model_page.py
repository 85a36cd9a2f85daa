"""The page that holds a model: markup, style, script, description and weights in one file that loads nothing.

The script is the modules in `model_page/`, joined: plain JavaScript, each readable and testable by itself.
"""

import json
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

from headscope.render.packed import Packed, packed
from headscope.render.pages import render_page

#: Each after those that it imports.
IN_WORKER = ("numbers", "curves", "transformer", "fixed_context", "inside", "writing", "unpack", "worker")
IN_PAGE = (
    *("ask", "elements", "state", "colours", "tokens", "unpack"),
    *("text_view", "heads_view", "map_view", "next_view", "film_view"),
    *("write_view", "link_view", "loss_view", "saving", "page"),
)
IMPORT = re.compile(r'^import \{ (?P<names>[\w$, ]+) \} from "\./(?P<module>\w+)\.js";$', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const|let) (?P<name>[\w$]+))", re.MULTILINE)


def joined(modules: tuple[str, ...]) -> str:
    """Modules of `model_page/` as one script: each in a function of its own, so that no name meets another."""
    folder = resources.files("headscope.render") / "model_page"
    parts = ['"use strict";', "const modules = {};"]
    for name in modules:
        source = (folder / f"{name}.js").read_text(encoding="utf-8")
        exports = ", ".join(m["name"] for m in EXPORT.finditer(source))
        body = EXPORT.sub("", IMPORT.sub(r"const { \g<names> } = modules.\g<module>;", source))
        parts.append(f"modules.{name} = (() => {{\n{body}\nreturn {{ {exports} }};\n}})();")
    script = "\n".join(parts)
    assert not re.search("</script|<!--", script, re.IGNORECASE), "that would end the script element"
    return script


def model_page(said: Mapping[str, str], described: dict[str, Any], film: bytes) -> str:
    """The document.

    Args:
        said: `title`, `summary`, `unit` of the tokens, `precision` of the weights, and `why` the model cannot run, or
            empty text.
        described: all that the script reads, JSON but for arrays (see `Packed`): model, vocabulary, text, heads.
        film: maps at each picture step of the training, a byte a weight; empty where none were kept.
    """
    content = Packed(described)
    return render_page(
        "model.html",
        **said,
        page_script=joined(IN_PAGE),
        worker_script=joined(IN_WORKER),
        described=_in_script(content.description | {"title": said["title"]}),
        weights=content.text(),
        film=packed(film) if film else "",
    )


def _in_script(value: Any) -> str:
    """JSON that no text inside can end the script element with, nor open a comment in it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
