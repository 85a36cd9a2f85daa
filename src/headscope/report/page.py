"""The report as text, and as one HTML file that needs no other."""

from html import escape

from headscope.report.results import Sweep
from headscope.report.tables import Rows, charts, command_of, sections


def markdown(sweep: Sweep) -> str:
    """The report as text."""
    lines = [f"# {sweep.folder.resolve().name}", "", sweep.state_line(), ""]
    for warning in sweep.warnings():
        lines += [f"> **{warning}**", ""]
    for title, paragraphs, rows in sections(sweep):
        lines += [f"## {title}", ""]
        for paragraph in paragraphs:
            lines += [f"- {paragraph}" if paragraph is not paragraphs[0] else paragraph]
        lines += [""] if paragraphs else []
        for number, row in enumerate(rows):
            lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |")
            lines += ["|" + " --- |" * len(row)] if number == 0 else []
        lines.append("")
    lines += ["## Command", "", "```bash", command_of(sweep), "```", "", "## Held fixed", ""]
    lines += [f"- `{key}`: {value}" for key, value in sweep.fixed.items()]
    return "\n".join(lines) + "\n"


STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1100px; margin: 2em auto; padding: 0 1.2em; }
table { border-collapse: collapse; margin: .6em 0 1.4em; font-variant-numeric: tabular-nums; }
th, td { padding: .2em .8em; border-bottom: 1px solid #ddd; text-align: left; }
td.n, th.n { text-align: right; }
.scroll { overflow-x: auto; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(480px, 100%), 1fr)); gap: 1em; }
figure { margin: 0; } figcaption { font-weight: 600; } svg { width: 100%; height: auto; }
.warning { border-left: 5px solid #D55E00; padding: .4em .8em; background: #fdf1ea; }
pre { background: #f5f5f5; padding: .8em; white-space: pre-wrap; overflow-wrap: anywhere; }
@media print { body { margin: 0; max-width: none; } figure, tr { break-inside: avoid; } details { display: none; } }
"""


def page(sweep: Sweep) -> str:
    """The report as one HTML file that needs no other."""
    name = escape(sweep.folder.resolve().name)
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{name}</title><style>{STYLE}</style></head><body>",
        f"<h1>{name}</h1><p>{escape(sweep.state_line())}</p>",
        *(f'<p class="warning">{escape(w)}</p>' for w in sweep.warnings()),
    ]
    for title, paragraphs, rows in sections(sweep):
        parts.append(f"<h2>{title}</h2>")
        if paragraphs:
            parts.append(f"<p>{escape(paragraphs[0])}</p>")
            parts += ["<ul>", *(f"<li>{escape(p)}</li>" for p in paragraphs[1:]), "</ul>"] if paragraphs[1:] else []
        parts.append(_html_table(rows))
        if title == "Ranking":
            figures = (f"<figure><figcaption>{escape(t)}</figcaption>{svg}</figure>" for t, svg in charts(sweep))
            parts += ['<div class="charts">', *figures, "</div>"]
    parts.append(f"<h2>Command</h2><pre>{escape(command_of(sweep))}</pre>")
    fixed = "".join(f"<tr><td>{escape(k)}</td><td>{escape(v)}</td></tr>" for k, v in sweep.fixed.items())
    parts.append(f"<h2>Held fixed</h2><details open><summary>every key of the config</summary><table>{fixed}</table>")
    return "\n".join([*parts, "</details></body></html>\n"])


def _html_table(rows: Rows) -> str:
    def cell(tag: str, text: str) -> str:
        number = text.replace(",", "").replace(".", "").isdigit() or text in NUMBERS
        return f"<{tag}{' class=n' if number else ''}>{escape(text)}</{tag}>"

    head, *body = rows
    lines = ["<tr>" + "".join(cell("th", t) for t in head) + "</tr>"]
    lines += ["<tr>" + "".join(cell("td", t) for t in row) + "</tr>" for row in body]
    return f'<div class="scroll"><table>{"".join(lines)}</table></div>'


NUMBERS = ("", "val/loss", "± sd", "runs", "parameters", "seconds", "tokens/s", "steps", "best")
