"""Makes the demo of the README: `python docs/demo.py RUN`, or `make demo`.

The page of the run's best model, with a text to begin with, and photographs of it by headless Chromium.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

DOCS = Path(__file__).parent
PROMPT = "ROMEO:\nBut soft, what light through yonder window breaks?"
VIEW = "#at=50&head=L1H0&off=L1H0&by=mean"  #: of the photographs: a head is off
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-sync")
FLAGS += ("--disable-background-networking", "--disable-component-update")
LARGEST = 3_000_000  #: bytes


def write(checkpoint: Path) -> Path:
    """The page, by the command that people use."""
    page = DOCS / "demo.html"
    given = (f"checkpoint={checkpoint}", "show=page", f"out={page}", f"prompt={PROMPT}")
    subprocess.run([sys.executable, str(DOCS.parent / "generate.py"), *given], check=True)
    if page.stat().st_size > LARGEST:
        sys.exit(f"error: {page} has {page.stat().st_size:,} bytes, more than {LARGEST:,}")
    return page


def photograph(page: Path, picture: str, width: int, height: int, *flags: str) -> None:
    """A picture of the page as it opens, in 64 colours."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("error: photographs need Chromium")
    with tempfile.TemporaryDirectory() as profile:
        shot = Path(profile) / "shot.png"
        options = (f"--user-data-dir={profile}/profile", f"--window-size={width},{height}", f"--screenshot={shot}")
        where = page.resolve().as_uri() + VIEW
        command = [chromium, *FLAGS, *flags, *options, "--timeout=5000", where]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        Image.open(shot).convert("RGB").quantize(64).save(DOCS / picture, optimize=True)
    print(f"{DOCS / picture}: {(DOCS / picture).stat().st_size // 1024} kB")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("error: give the folder of a run: python docs/demo.py RUN")
    demo = write(Path(sys.argv[1]) / "checkpoints" / "best.ckpt")
    photograph(demo, "demo.png", 1280, 1250)
    photograph(demo, "demo-dark.png", 390, 900, "--force-dark-mode", "--blink-settings=preferredColorScheme=0")
