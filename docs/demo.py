"""Builds docs/demo.html, the page that runs a run's best model, and takes screenshots of it.

`make demo` trains the model and calls `python -m docs.demo RUN`.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from tests.browser import Page, browser

DOCS = Path(__file__).parent
PROMPT = "ROMEO:\nBut soft, what light through yonder window breaks?"
VIEW = "#at=50&head=L1H0&off=L1H0&by=mean"  #: the state of the page in the screenshots: one head is switched off
MAX_SIZE = 3_000_000  #: bytes of the page


def write(checkpoint: Path) -> Path:
    """Writes the page with `generate.py show=page`; returns its path."""
    page = DOCS / "demo.html"
    overrides = (f"checkpoint={checkpoint}", "show=page", f"out={page}", f"prompt={PROMPT}")
    subprocess.run([sys.executable, str(DOCS.parent / "generate.py"), *overrides], check=True)
    if page.stat().st_size > MAX_SIZE:
        sys.exit(f"error: {page} is larger than {MAX_SIZE:,} bytes: {page.stat().st_size:,} bytes")
    return page


def photograph(tab: Page, page: Path, picture: str, width: int, height: int, dark: bool) -> None:
    """Saves a screenshot of the page as a PNG file with 256 colours."""
    tab.size(width, height, dark)
    tab.open(page, VIEW)
    tab.run("modules.page.settled().then(() => true)")
    tab.photograph(DOCS / picture)
    Image.open(DOCS / picture).convert("RGB").quantize(256).save(DOCS / picture, optimize=True)
    print(f"{DOCS / picture}: {(DOCS / picture).stat().st_size // 1024} kB")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("error: the argument must be the folder of a run: python -m docs.demo RUN")
    demo = write(Path(sys.argv[1]) / "checkpoints" / "best.ckpt")
    with tempfile.TemporaryDirectory() as profile, browser(profile) as tab:
        photograph(tab, demo, "demo.png", 1280, 1740, False)
        photograph(tab, demo, "demo-dark.png", 390, 1240, True)
