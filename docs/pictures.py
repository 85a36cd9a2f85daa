"""Makes two pictures of the README from a sweep of positions: `python -m docs.pictures SWEEP`, or `make pictures`.

The heads are those of its first run, the dashboard is TensorBoard in the browser of the tests.
"""

import sys
import tempfile
import time
from pathlib import Path

import torch
from PIL import Image

import headscope
from headscope.data.shakespeare import TinyShakespeare
from headscope.heads.capture import look
from headscope.render.pictures import head_names, maps_picture
from tests.browser import browser
from tests.dashboard import tensorboard

DOCS = Path(__file__).parent
TEXT, LAYER = slice(0, 28), 2  #: of the validation text; the third layer


def heads(checkpoint: Path) -> None:
    """Every head of one layer over the beginning of the validation text."""
    model, tokenizer, about = headscope.load(checkpoint)
    text = TinyShakespeare().read()
    ids = tokenizer.encode(text[len(text) * 9 // 10 :])[TEXT]
    maps = look(model, ids[None], "maps").maps[LAYER, 0]  # (H, T, T)
    tokens = [tokenizer.show(i) for i in ids.tolist()]
    title = f"{about['name']}, layer {LAYER}"
    picture = maps_picture(maps.double().numpy(), tokens, title, head_names(LAYER, len(maps)))
    save(Image.fromarray(picture), "heads.png")


def dashboard(sweep: Path) -> None:
    """TensorBoard's losses of all runs."""
    runs = len([*sweep.glob("*/summary.json")])
    with tensorboard(sweep, runs) as address, tempfile.TemporaryDirectory() as profile, browser(profile) as tab:
        tab.size(1280, 640)
        tab.call("Page.navigate", url=f"{address}/?smoothing=0&tagFilter=loss%24#timeseries")
        time.sleep(15)  # nothing on the page says that its curves are drawn
        tab.run("document.querySelector('[aria-label=\"Close side pane\"]').click()")
        time.sleep(5)
        shot = Path(profile) / "shot.png"
        tab.photograph(shot)
        save(Image.open(shot).convert("RGB"), "dashboard.png")


def save(picture: Image.Image, name: str) -> None:
    """A small file: 1000 pixels wide, 64 colours."""
    picture.thumbnail((1000, 1000), Image.Resampling.LANCZOS)
    picture.quantize(64).save(DOCS / name, optimize=True)
    print(f"{DOCS / name}: {(DOCS / name).stat().st_size // 1024} kB")


if __name__ == "__main__":
    torch.set_num_threads(1)
    if len(sys.argv) != 2:
        sys.exit("error: give the folder of a sweep of positions: python -m docs.pictures SWEEP")
    heads(Path(sys.argv[1]) / "00-rope" / "checkpoints" / "best.ckpt")
    dashboard(Path(sys.argv[1]))
