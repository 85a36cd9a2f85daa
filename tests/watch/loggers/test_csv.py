"""`logger=csv`: plain files that are complete at any time."""

import numpy as np
import pytest
from PIL import Image

from headscope.heads.roles import ROLE_RULES
from headscope.watch.loggers.csv import Csv, read_rows
from tests.conftest import ROOT, shell
from tests.inside import train
from tests.watch.loggers.conftest import TINY, steps, table


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("csv")
    done = shell(*TINY, "logger=csv", "trainer.max_steps=20", f"hydra.run.dir={folder}")
    assert done.returncode == 0, done.stderr
    return folder


def test_a_run_has_one_row_per_logged_step(run):
    rows = table(run)
    assert next(iter(rows[0])) == "step"
    assert [row["step"] for row in rows] == ["0", "5", "10", "15", "20"], "step 0 has the heads before training"
    for metric in ("train/loss", "train/lr", "train/grad_norm", "speed/tokens_per_second"):
        assert steps(run, metric) == [5, 10, 15, 20]
    for metric in ("val/loss", "val/bits_per_character", "val/perplexity"):
        assert steps(run, metric) == [10, 20]
    assert steps(run, "heads/L0H0/sink") == [0, 10, 20]
    lr = [float(row["train/lr"]) for row in rows[1:]]
    assert lr == pytest.approx([1.2e-4, 2.2e-4, 3.2e-4, 4.2e-4]), "warm-up to 1e-3 over 50 steps"


def test_a_run_has_pictures_and_texts_as_files(run):
    tags = [
        "attention/layer_0",
        "norm_weighted/layer_0",
        "rollout",
        "positions",
        *(f"heads/{rule.score}" for rule in ROLE_RULES.values()),
    ]
    tags += [f"head_attention/L0H{head}" for head in (0, 1)]
    assert {str(p.relative_to(run)) for p in run.rglob("*.png")} == {
        *(f"pictures/{tag}_{step:06}.png" for tag in tags for step in (0, 10, 20)),
        "pictures/loss_and_roles_000020.png",
    }
    assert {p.name for p in (run / "texts").iterdir()} == {
        *("config_000000.txt", "run_000000.txt", "sample_000010.txt", "sample_000020.txt"),
        *(f"heads_{step:06}.txt" for step in (0, 10, 20)),
    }
    assert '"d_model": 32' in (run / "texts" / "config_000000.txt").read_text()
    assert not list(run.glob("events*"))


def test_a_resumed_run_has_the_cells_of_an_uninterrupted_one_except_times_and_memory(run, tmp_path):
    """docs/RUNS.md names the cells that differ."""
    limits = ("logger=csv", "callbacks.film=null", f"hydra.run.dir={tmp_path}/run")
    for arguments in ([*TINY[1:], *limits, "trainer.max_steps=10"], [f"resume={tmp_path}/run", "trainer.max_steps=20"]):
        code, printed = train(*arguments)
        assert code == 0, printed
    measured = ("speed/tokens_per_second", "speed/memory_mb")
    document = (ROOT / "docs" / "RUNS.md").read_text()
    assert all(f"`{name}`" in document for name in measured)
    whole, resumed = (
        [{name: cell for name, cell in row.items() if name not in measured} for row in table(folder)]
        for folder in (run, tmp_path / "run")
    )
    assert resumed == whole


def test_validating_in_the_folder_of_a_run_does_not_change_its_table(run):
    before = (run / "metrics.csv").read_bytes()
    best = f"checkpoint={run}/checkpoints/best.ckpt"
    done = shell("train.py", "task=validate", best, "data=pydoc", "logger=csv", f"hydra.run.dir={run}")
    assert done.returncode == 0, done.stderr
    assert (run / "metrics.csv").read_bytes() == before


def test_only_save_changes_the_table_on_disk_and_replaces_it_whole(tmp_path):
    logger = Csv(str(tmp_path))
    logger.log_metrics({"a": 1.0}, 5)
    assert not logger.table.exists()
    logger.save()
    first = logger.table.read_text()
    assert first == "step,a\n5,1.0\n"
    logger.log_metrics({"a": 2.0}, 10)
    logger.log_metrics({"b": 0.1}, 10)
    assert logger.table.read_text() == first
    logger.save()
    assert logger.table.read_text() == "step,a,b\n5,1.0,\n10,2.0,0.1\n"


def test_floats_keep_every_bit_over_a_resume(tmp_path):
    values = [0.1 + 0.2, 1e-300, float(np.float32(1 / 3)), float("nan")]
    before = Csv(str(tmp_path))
    for step, value in enumerate(values, 1):
        before.log_metrics({"x": value}, step)
    before.save()
    after = Csv(str(tmp_path))
    after.resume_at(4)
    after.save()
    assert np.array_equal([float(row["x"]) for row in table(tmp_path)], values, equal_nan=True)


def test_a_resumed_run_logs_later_steps_again_once(tmp_path):
    rgb = np.zeros((2, 3, 3), np.uint8)
    before = Csv(str(tmp_path))
    for step in (5, 10, 15):
        before.log_metrics({"x": step}, step)
        before.record_picture("attention/layer_0", rgb, step)
        before.record_text("sample", "…\n\r\n\t", step)
    before.save()
    (tmp_path / "pictures" / "mine.png").write_bytes(b"")
    after = Csv(str(tmp_path))
    after.resume_at(10)
    assert {p.name for p in tmp_path.rglob("*.*") if p != after.table} == {
        *("layer_0_000005.png", "layer_0_000010.png", "mine.png", "sample_000005.txt", "sample_000010.txt")
    }
    after.log_metrics({"x": -15}, 15)
    after.save()
    assert [(row["step"], row["x"]) for row in table(tmp_path)] == [("5", "5.0"), ("10", "10.0"), ("15", "-15.0")]


def test_pictures_and_texts_are_saved_unchanged(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    logger = Csv(str(tmp_path))
    logger.record_picture("p", rgb, 3)
    logger.record_text("t", "a\r\nb\x0b<&>é\n", 3)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "pictures" / "p_000003.png")), rgb)
    assert (tmp_path / "texts" / "t_000003.txt").read_bytes() == "a\r\nb\x0b<&>é\n".encode()


def test_the_tables_of_earlier_versions_are_read(tmp_path):
    """Lightning's `CSVLogger` wrote several rows per step, and could be killed in the middle of a line."""
    file = tmp_path / "metrics.csv"
    file.write_text("speed,step,train/loss,val/loss\r\n7.5,10,,\r\n,10,4.5,\r\n,10,,4.25\r\n8.5,20,,\r\n,2")
    assert read_rows(file) == {
        10: {"speed": "7.5", "train/loss": "4.5", "val/loss": "4.25"},
        20: {"speed": "8.5"},
    }
    assert read_rows(tmp_path / "none.csv") == {}


def test_names_with_commas_and_quotes_are_quoted(tmp_path):
    logger = Csv(str(tmp_path))
    logger.log_metrics({'a,"b"': 1.0}, 1)
    logger.save()
    assert table(tmp_path) == [{"step": "1", 'a,"b"': "1.0"}]
