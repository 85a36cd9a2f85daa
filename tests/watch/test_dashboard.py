"""TensorBoard in headless Chromium: every tab shows what it should."""

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest
from PIL import Image

from tests.conftest import shell

pytestmark = pytest.mark.browser
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync")
FLAGS += ("--disable-background-networking", "--disable-component-update", "--window-size=1600,1200")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of a TensorBoard over a sweep of three runs with different positions."""
    folder = tmp_path_factory.mktemp("runs")
    swept = ("position=rope,learned,alibi", "optimizer.lr=3e-3", "schedule.warmup_steps=1")
    done = shell("train.py", "-m", "experiment=toy", *swept, f"hydra.sweep.dir={folder}")
    assert done.returncode == 0, done.stderr
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    for _ in range(60):
        time.sleep(1)
        try:
            if len(fetch(address, "/data/runs")) == 6:  # each run, and its hparams
                break
        except OSError:
            continue
    yield address
    process.terminate()
    process.wait()


def fetch(address, path, body=None):
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(address + path, body and json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.loads(response.read())


@pytest.mark.parametrize("tab", ["scalars", "custom_scalars", "images", "text", "hparams"])
def test_a_tab_is_not_empty(server, tab, tmp_path):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert chromium, "these tests need Chromium"
    picture = tmp_path / f"{tab}.png"
    subprocess.run(
        [
            *(chromium, *FLAGS, f"--user-data-dir={tmp_path}/profile", "--virtual-time-budget=25000"),
            *(f"--screenshot={picture}", f"{server}/#{tab}"),
        ],
        timeout=120,
        check=True,
        capture_output=True,
    )
    pixels = np.asarray(Image.open(picture).convert("RGB"))
    body = pixels[200:, 340:].reshape(-1, 3)  # below the bar, right of the list of runs
    background = np.unique(body, axis=0, return_counts=True)[1].max() / len(body)
    assert background < 0.99, f"{tab} shows next to nothing"


def test_the_table_has_every_run_and_column_and_final_metrics_only(server):
    experiment = fetch(server, "/data/plugin/hparams/experiment", {"experimentName": ""})
    columns = {"position", "model.d_model", "optimizer.lr", "seed", "schedule.warmup_steps", "experiment"}
    assert {c["name"] for c in experiment["hparamInfos"]} >= columns
    assert {m["name"]["tag"] for m in experiment["metricInfos"]} == {"final/val_loss", "final/best_val_loss"}
    groups = fetch(
        server,
        "/data/plugin/hparams/session_groups",
        {
            "experimentName": "",
            "allowedStatuses": ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"],
            "colParams": [],
            "startIndex": 0,
            "sliceSize": 100,
        },
    )
    rows = groups["sessionGroups"]
    assert {row["hparams"]["position"] for row in rows} == {"rope", "learned", "alibi"}
    names = {session["name"].partition("/")[0] for row in rows for session in row["sessions"]}
    assert names == {"00-rope", "01-learned", "02-alibi"}
    assert all(len(row["metricValues"]) == 2 for row in rows)


def test_attention_pictures_are_served(server):
    tags = fetch(server, "/data/plugin/images/tags")
    assert {"attention/layer_0", "positions"} <= tags["01-learned"].keys()
    assert "positions" not in tags["00-rope"]
