"""A run records maps and roles of its heads during training."""

import csv
from types import SimpleNamespace

import numpy as np
import torch

import headscope
from headscope.heads import film, look
from headscope.heads.film import Film as Frames
from headscope.watch.heads import Film
from tests.conftest import filmed, small


def test_a_run_keeps_its_film_with_the_roles_of_heads_csv(pydoc_run):
    folder, _ = pydoc_run
    kept = Frames.from_bytes((folder / "film.gz").read_bytes())
    assert [f.step for f in kept.frames] == [0, 10, 20, 30]
    rows = list(csv.DictReader((folder / "heads.csv").read_text().splitlines()))
    for frame in kept.frames:
        for row in rows:
            if int(row["step"]) == frame.step:
                role = row["role"] + "?" * (row["confirmed"] == "False")
                label = frame.roles[int(row["layer"])][int(row["head"])]
                assert label == ("" if row["role"] == "none" else role)
    model, _, _ = headscope.load(folder / "checkpoints" / "last.ckpt")
    maps = look(model, torch.tensor([kept.ids]), "maps").maps
    found = filmed(kept.frames[-1], 3, 2, len(kept.ids))
    np.testing.assert_allclose(found, maps[3, 0, 2].numpy(), atol=0.01)


def test_a_resumed_run_drops_what_came_after_its_checkpoint(tmp_path):
    model = small()
    maps = look(model, torch.tensor([[1, 2, 3]]), "maps").maps
    (tmp_path / "film.gz").write_bytes(Frames([1, 2, 3], [film.frame(s, maps, {}) for s in (0, 10, 20)]).to_bytes())
    watched = Film(str(tmp_path))
    watched.on_train_start(SimpleNamespace(is_global_zero=True, global_step=10), SimpleNamespace(model=model))
    assert [f.step for f in watched.frames.frames] == [0, 10]
    (tmp_path / "film.gz").write_bytes(b"damaged")
    watched.on_train_start(SimpleNamespace(is_global_zero=True, global_step=10), SimpleNamespace(model=model))
    assert watched.frames is None
