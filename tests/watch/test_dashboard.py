"""TensorBoard in headless Chromium: every tab shows the expected contents."""

import json
import subprocess
import time
import urllib.request

import numpy as np
import pytest
from PIL import Image

from tests.browser import CHROMIUM, browser
from tests.conftest import shell
from tests.dashboard import fetch, tensorboard

pytestmark = pytest.mark.browser
#: The first lines of all elements that a selector finds, also below shadow roots, from top to bottom.
EVERYWHERE = """function look(root, selector) {
  const found = [...root.querySelectorAll(selector)].map((e) => [e.getBoundingClientRect().top, e.textContent]);
  const deeper = [...root.querySelectorAll("*")].filter((e) => e.shadowRoot);
  const all = found.concat(...deeper.map((e) => look(e.shadowRoot, selector)));
  if (root !== document) return all;
  const lines = all.sort((a, b) => a[0] - b[0]).map(([_, text]) => text.trim().split("\\n")[0].trim());
  return lines.filter((text, i) => text && text !== lines[i - 1]);
}"""
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync")
FLAGS += ("--disable-background-networking", "--disable-component-update", "--window-size=1600,1200")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Yields the address of a TensorBoard for a sweep of three runs with different positions."""
    folder = tmp_path_factory.mktemp("runs")
    swept = ("position=rope,learned,alibi", "optimizer.lr=3e-3", "schedule.warmup_steps=1")
    done = shell("train.py", "-m", "experiment=toy", *swept, f"hydra.sweep.dir={folder}")
    assert done.returncode == 0, done.stderr
    with tensorboard(folder, runs=3) as address:
        yield address


@pytest.mark.parametrize("tab", ["timeseries", "scalars", "custom_scalars", "images", "text", "hparams", "projector"])
def test_a_tab_is_not_empty(server, tab, tmp_path):
    assert CHROMIUM, "these tests need Chromium"
    picture = tmp_path / f"{tab}.png"
    subprocess.run(
        [
            *(CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path}/profile", "--virtual-time-budget=25000"),
            *(f"--screenshot={picture}", f"{server}/#{tab}"),
        ],
        timeout=120,
        check=True,
        capture_output=True,
    )
    pixels = np.asarray(Image.open(picture).convert("RGB"))
    body = pixels[200:, 340:].reshape(-1, 3)  # the region below the top bar and to the right of the list of runs
    background = np.unique(body, axis=0, return_counts=True)[1].max() / len(body)
    assert background < 0.99, f"{tab} shows next to nothing"


def test_a_run_has_one_name_which_says_what_was_swept(server):
    assert set(fetch(server, "/data/runs")) == {"00-rope", "01-learned", "02-alibi"}


def test_the_losses_stand_first_and_the_sample_before_the_config(server, tmp_path):
    """Reads the pages: Time Series and Scalars show `train` and then `val`; Text shows the sample first."""
    with browser(tmp_path) as page:
        page.size(1280, 2000)
        for tab, first, found in (
            ("timeseries", ["Pinned", "train", "val"], ".group-title"),
            ("scalars", ["train", "val"], ".heading .category-name, .category-name, .heading"),
            ("text", ["sample"], ".category-name, .heading"),
        ):
            page.call("Page.navigate", url="about:blank")
            page.call("Page.navigate", url=f"{server}/#{tab}")
            names = []
            for _ in range(60):
                time.sleep(1)
                names = page.run(f"({EVERYWHERE})(document, {json.dumps(found)})")
                if names[: len(first)] == first:
                    break
            assert names[: len(first)] == first, tab


def test_the_projector_finds_its_points_and_their_classes(server):
    assert fetch(server, "/data/plugin/projector/runs") == ["00-rope", "01-learned", "02-alibi"]
    (embedding,) = fetch(server, "/data/plugin/projector/info?run=00-rope")["embeddings"]
    assert embedding["tensorName"] == "embedding"
    address = f"{server}/data/plugin/projector/metadata?run=00-rope&name=embedding"
    with urllib.request.urlopen(address, timeout=10) as response:
        header, *points = response.read().decode().splitlines()
    assert header == "token\tclass"
    assert len(points) == embedding["tensorShape"][0]


def test_the_table_has_every_run_and_column_and_the_losses_among_its_first_five_metrics(server):
    experiment = fetch(server, "/data/plugin/hparams/experiment", {"experimentName": ""})
    columns = {"position", "model.d_model", "optimizer.lr", "seed", "schedule.warmup_steps", "experiment"}
    assert {c["name"] for c in experiment["hparamInfos"]} >= columns
    assert experiment["hparamInfos"][0]["name"] == "position", "swept keys must be among the five shown"
    metrics = [m["name"]["tag"] for m in experiment["metricInfos"]]
    assert {"train/loss", "val/loss", "val/loss_best"} < set(metrics[:5]), "HParams shows only five"
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
    for row in rows:
        values = {v["name"]["tag"]: v["value"] for v in row["metricValues"]}
        assert values["val/loss"] >= values["val/loss_best"] > 0


def test_attention_pictures_are_served(server):
    tags = fetch(server, "/data/plugin/images/tags")
    wanted = {"watch_attention/layer_0", "watch_head_attention/L0H0", "watch_positions"}
    assert wanted <= tags["01-learned"].keys()
    assert "watch_positions" not in tags["00-rope"]
