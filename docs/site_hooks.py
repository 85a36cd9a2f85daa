"""Hooks for MkDocs and griffe: pages from outside `docs/`, API pages, examples in docstrings, offline search.

`mkdocs.yml` loads this file when `make docs` builds the site. On GitHub, pages in `docs/` link to `../CONTRIBUTING.md`,
and files in the root link to `docs/LOG.md`. The hooks rewrite both kinds of links, because all pages of the site are in
one folder.
"""

import re
from pathlib import Path
from typing import Any

import griffe
from mkdocs.structure.files import File, Files
from mkdocs.utils import get_relative_url

ROOT = Path(__file__).parents[1]
FROM_ROOT = ("CONTRIBUTING.md", "CHANGELOG.md")
API = (
    *("headscope", "heads", "model", "portable", "data", "training", "generation", "checkpoint"),
    *("show", "render", "watch", "run", "report"),
)
SHIM = (
    "https://unpkg.com/iframe-worker/shim"  #: the theme's search loads this script; the site uses the copy in assets/
)
DOCTEST = re.compile(r"^>>> .*?(?=\n\n|\Z)", re.M | re.S)


def on_config(config: Any) -> Any:
    """Appends the API pages to the navigation."""
    config.nav.append({"API": [{name: path} for name, path in api_pages()]})
    return config


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages that are not files in `docs/`."""
    for name in FROM_ROOT:
        files.append(File.generated(config, name, content=(ROOT / name).read_text()))
    for name, path in api_pages():
        # Without submodules, because each package has its own page.
        options = "    options: {show_submodules: false}\n" if name == "headscope" else ""
        files.append(File.generated(config, path, content=f"::: {name}\n{options}"))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Rewrites links between `docs/` and the root."""
    if page.file.src_uri in FROM_ROOT:
        return re.sub(r"\]\(docs/", "](", markdown)
    return re.sub(rf"\]\(\.\./({'|'.join(FROM_ROOT)})", r"](\1", markdown)


def on_post_build(config: Any) -> None:
    """Replaces the address of the search shim with the site's own copy on every page, so that search works offline."""
    site = Path(config.site_dir)
    for path in site.rglob("*.html"):
        html = path.read_text()
        if SHIM in html:
            shim = get_relative_url("assets/iframe-worker.js", path.relative_to(site).as_posix())
            path.write_text(html.replace(SHIM, shim))


def api_pages() -> list[tuple[str, str]]:
    """Returns the name and the page's path for every documented package that exists."""
    source = ROOT / "src"
    packages = ["headscope" if name == "headscope" else f"headscope.{name}" for name in API]
    return [(p, f"api/{p}.md") for p in packages if (source / p.replace(".", "/")).is_dir()]


class FenceDoctests(griffe.Extension):
    """Puts the `>>>` examples in docstrings into code blocks, because Markdown would render them as block quotes."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrites the docstring of one object."""
        if obj.docstring:
            obj.docstring.value = DOCTEST.sub(lambda found: f"```pycon\n{found[0]}\n```", obj.docstring.value)
