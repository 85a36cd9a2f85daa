"""Values cannot add markup to a page, and a missing value is an error."""

import pytest
from jinja2 import UndefinedError

from headscope.render.pages import render_page

VALUES = {
    "title": "a_b",
    "summary": "<i>",
    "caption": "",
    "warnings": [],
    "findings": ["<b>"],
    "ranking": [("", "name", "± sd"), ("1", r"50% & a_b #1 $x {y} ~^\ <z> |", "1,0.5"), ("2", "b", "")],
    "assumptions": "",
    "figures": ["<svg></svg>"],
    "sections": [],
    "command": "a | b",
    "fixed": [],
}


def test_html_escapes_values_and_aligns_numbers():
    html = render_page("report.html", **VALUES)
    assert "<li>&lt;b&gt;</li>" in html
    assert "<figure><svg></svg></figure>" in html
    assert '<td class="n">1</td><td>50% &amp; a_b' in html
    assert '<th class="n">± sd</th>' in html


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("<b>bold</b><script>", "&lt;b>bold&lt;/b>&lt;script>"),
        ("[a](http://b) ![c](d)", r"\[a\](http://b) !\[c\](d)"),
        ("*a* _b_ `c` ~~d~~ e|f", r"\*a\* \_b\_ \`c\` \~\~d\~\~ e\|f"),
        ("&lt; a\\b", r"&amp;lt; a\\b"),
        ("two\nlines", "two lines"),
        ("1. first", r"1\. first"),
        ("- item", r"\- item"),
        ("max_steps=-1", "max_steps=-1"),
    ],
)
def test_markdown_shows_values_verbatim(name, shown):
    """In a title, a sentence, a cell of a table and a list."""
    values = VALUES | {"title": name, "findings": [name], "ranking": [("",), (name,)], "fixed": [("name", name)]}
    text = render_page("report.md", **values)
    assert text.startswith(f"# {shown}\n")
    for line in (f"- {shown}", f"| {shown} |", f"- `name`: {shown}"):
        assert f"\n{line}\n" in text


def test_latex_escapes_values():
    row = render_page("report.tex", **VALUES).splitlines()[6]
    text = r"50\% \& a\_b \#1 \$x \{y\} \textasciitilde{}\textasciicircum{}\textbackslash{} \textless{}z\textgreater{} "
    assert row == rf"1 & {text}\textbar{{}} & 1,0.5 \\"
    assert r"\begin{tabular}{rlr}" in render_page("report.tex", **VALUES)


def test_a_missing_value_is_an_error():
    with pytest.raises(UndefinedError, match="command"):
        render_page("report.html", **{k: v for k, v in VALUES.items() if k != "command"})
