"""A walk as files: a picture a matrix, and one page that needs nothing else."""

import base64
import io
import re
from html import escape
from pathlib import Path

from PIL import Image

from headscope.render.pictures import matrix_picture
from headscope.walkthrough.step import Step, Told, Walk

#: The page may load nothing: the browser itself refuses whatever is not in the file.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
STYLE = """
:root { color-scheme: light dark; --ink: #23262b; --soft: #5d6470; --line: #d9dbdf; --page: #fbfbfa; --card: #f0f1f3;
  --mark: #1f5fa8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e6ea; --soft: #a0a7b4; --line: #363b44; --page: #16181c;
  --card: #1f2329; --mark: #8cbcf0; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.25rem 5rem; max-width: 66rem; background: var(--page); color: var(--ink);
  font: 1rem/1.55 system-ui, "Segoe UI", Roboto, "Liberation Sans", sans-serif; overflow-wrap: break-word; }
h1 { margin: 0; font-size: 2rem; line-height: 1.2; }
header p { margin: .4rem 0 0; color: var(--soft); }
nav { margin: 1.25rem 0 0; display: flex; flex-wrap: wrap; gap: .4rem; }
nav a { padding: .1rem .6rem; border: 1px solid var(--line); border-radius: 1rem; color: var(--mark);
  font-size: .875rem; text-decoration: none; }
nav a:hover, nav a:focus { border-color: currentColor; }
section { margin-top: 2rem; padding-top: 1.5rem; border-top: 1px solid var(--line); }
h2 { margin: 0; font-size: 1.2rem; display: flex; flex-wrap: wrap; align-items: baseline; gap: .2rem .75rem; }
h2 code { color: var(--soft); font-size: .875rem; font-weight: normal; }
section p { margin: .4rem 0 1rem; max-width: 46rem; }
.wide { overflow-x: auto; }
img { display: block; height: auto; border: 1px solid var(--line); border-radius: .4rem; }
summary { margin-top: .75rem; color: var(--mark); cursor: pointer; font-size: .875rem; }
table { border-collapse: collapse; margin-top: .5rem; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; }
tbody th { position: sticky; left: 0; background: var(--page); text-align: left; }
td.note { color: var(--soft); text-align: left; white-space: normal; min-width: 12rem; }
#departure { padding: 1.25rem 1.5rem; border: 0; border-left: 4px solid var(--mark); border-radius: .4rem;
  background: var(--card); }
#departure p { margin-bottom: 0; }
"""


def write(walk: Walk, seed: int, told: Told, folder: Path) -> Path:
    """Writes NAME.html and NAME-NN-TITLE.png for every matrix into the folder; returns the page.

    Raises:
        OSError: the folder cannot be made or written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sections, links = [], []
    for i, step in enumerate(told.steps, 1):
        body = _table(step)
        if step.kind != "table":
            png, width = _png(step)
            (folder / f"{walk.name}-{i:02}-{re.sub('[^a-z0-9]+', '-', step.title)}.png").write_bytes(png)
            source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
            body = (
                f'<div class="wide"><img src="{source}" alt="{escape(step.title)} as colours" '
                f'style="width: {width}px; max-width: max(100%, {0.7 * width:.0f}px)"></div>'
                f"<details{' open' * bool(step.notes)}><summary>the numbers</summary>{body}</details>"
            )
        links.append(f'<a href="#step-{i}">{escape(step.title)}</a>')
        sections.append(
            f'<section id="step-{i}"><h2>{i}. {escape(step.title)} <code>{escape(step.form)}</code></h2>'
            f"<p>{escape(step.text)}</p>{body}</section>"
        )
    page = folder / f"{walk.name}.html"
    page.write_text(
        f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{walk.name} · Headscope</title>
<link rel="icon" href="data:,">
<style>{STYLE}</style>
</head>
<body>
<header><h1>{walk.name}</h1><p>{escape(walk.summary)} · seed {seed}</p></header>
<nav>{"".join(links)}<a href="#departure">where the document departs</a></nav>
<main>
{chr(10).join(sections)}
<section id="departure"><h2>Where the document departs</h2><p>{escape(told.departure)}</p></section>
</main>
</body>
</html>
""",
        encoding="utf-8",
    )
    return page


def _png(step: Step) -> tuple[bytes, int]:
    """The picture of a step, and how wide it is."""
    values = step.values.double().numpy()
    picture = matrix_picture(values, step.rows, step.header, step.title, step.kind == "weights")
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue(), picture.shape[1]


def _table(step: Step) -> str:
    """Every number of a step."""
    notes = step.notes or [""] * len(step.rows)
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in step.header) + "<th></th>" * bool(step.notes)
    rows = [
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(f"<td>{cell}</td>" for cell in cells)
        + f'<td class="note">{escape(note)}</td>' * bool(step.notes)
        for name, cells, note in zip(step.rows, step.cells, notes, strict=True)
    ]
    table = f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f'<div class="wide">{table}</div>'
