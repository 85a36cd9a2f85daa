"""Makes the pictures of the README from a sweep of positions: `python docs/pictures.py SWEEP`, or `make pictures`.

The heads are those of its first run, the dashboard is TensorBoard in headless Chromium.
"""

import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import torch
from PIL import Image

import headscope
from headscope.data.shakespeare import TinyShakespeare
from headscope.heads.capture import look
from headscope.render.pictures import heads_picture

DOCS = Path(__file__).parent
TEXT, LAYER = slice(0, 28), 2  #: of the validation text; the third layer
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync")
FLAGS += ("--disable-background-networking", "--disable-component-update", "--window-size=1280,800")


def heads(checkpoint: Path) -> None:
    """Every head of one layer over the beginning of the validation text."""
    model, tokenizer, about = headscope.load(checkpoint)
    text = TinyShakespeare().read()
    ids = tokenizer.encode(text[len(text) * 9 // 10 :])[TEXT]
    maps = look(model, ids[None], "maps").maps[LAYER, 0]  # (H, T, T)
    tokens = [tokenizer.show(i) for i in ids.tolist()]
    picture = heads_picture(maps.double().numpy(), tokens, f"{about['name']}, layer {LAYER}")
    save(Image.fromarray(picture), "heads.png")


def dashboard(sweep: Path) -> None:
    """TensorBoard's losses of the runs of a sweep with seed 1."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("error: the dashboard's picture needs Chromium")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    folder = Path(tempfile.mkdtemp())
    for events in sweep.glob("*-s1/events.*"):
        run = folder / "outputs" / events.parent.name.split("-")[1]
        run.mkdir(parents=True)
        shutil.copy(events, run)
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", "outputs", "--port", str(port)]
    server = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for(f"{address}/data/runs")
        with tempfile.TemporaryDirectory() as profile:
            shot = Path(profile) / "shot.png"
            page = f"{address}/#scalars&tagFilter=loss%7Cperplexity&_smoothingWeight=0"
            options = (f"--user-data-dir={profile}", "--virtual-time-budget=30000", f"--screenshot={shot}")
            subprocess.run([chromium, *FLAGS, *options, page], check=True, capture_output=True, timeout=120)
            save(Image.open(shot).convert("RGB"), "dashboard.png")
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(folder)


def wait_for(address: str) -> None:
    """Waits until TensorBoard has read the runs."""
    for _ in range(60):
        time.sleep(1)
        try:
            with urllib.request.urlopen(address, timeout=5) as response:
                if len(response.read()) > 2:
                    time.sleep(5)
                    return
        except OSError:
            continue
    sys.exit("error: TensorBoard did not answer")


def save(picture: Image.Image, name: str) -> None:
    """A small file: 1000 pixels wide, 64 colours."""
    picture.thumbnail((1000, 1000), Image.Resampling.LANCZOS)
    picture.quantize(64).save(DOCS / name, optimize=True)
    print(f"{DOCS / name}: {(DOCS / name).stat().st_size // 1024} kB")


if __name__ == "__main__":
    torch.set_num_threads(1)
    if len(sys.argv) != 2:
        sys.exit("error: give the folder of a sweep of positions: python docs/pictures.py SWEEP")
    heads(Path(sys.argv[1]) / "00-rope-s1" / "checkpoints" / "best.ckpt")
    dashboard(Path(sys.argv[1]))
