"""`show=heads` prints every head in its tables and writes files."""

import csv
import re

import numpy as np
import pytest
import torch
from PIL import Image

from headscope.data.tokenizers import CharTokenizer
from headscope.errors import UserError
from headscope.heads import look
from headscope.heads.probes import TEXTS
from headscope.heads.roles import ROLE_RULES
from headscope.render.grid import scores_picture
from headscope.show.heads import passages, show
from headscope.show.request import ShowRequest
from tests.conftest import SCHEMES, small

TOKENIZER = CharTokenizer(vocab=list("\n abcdefgh["))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_head_is_described(scheme, tmp_path, capsys):
    model = small(scheme).eval()
    kept = torch.randint(11, (8, 16), generator=torch.Generator().manual_seed(1)).tolist()
    show(ShowRequest(model, TOKENIZER, "", tmp_path / "a.ckpt", {"passages": kept, "step": 7}))
    out = capsys.readouterr().out
    folder = tmp_path / "a-step7-heads"
    assert out.rstrip().endswith(str(folder))
    for name in ("L0H0", "L0H1", "L1H0", "L1H1"):
        assert len(re.findall(rf"^{name} ", out, re.MULTILINE)) == 2, "its role, and its habits"
    with (folder / "heads.csv").open() as f:
        rows = list(csv.DictReader(f))
    maps = look(model, torch.tensor(kept), "maps").maps
    assert [r["step"] for r in rows] == ["7"] * 4
    previous = float(maps[1, :, 0].diagonal(-1, -2, -1).mean())
    assert float(rows[2]["previous_token"]) == pytest.approx(previous, abs=1e-5)
    assert {p.stem for p in folder.glob("*.png")} == {rule.score for rule in ROLE_RULES.values()}
    with Image.open(folder / "sink.png") as picture:
        assert picture.width > 200


def test_a_checkpoint_without_text_is_described_on_what_it_writes(tmp_path, capsys):
    request = ShowRequest(small().eval(), TOKENIZER, "", tmp_path / "a.ckpt")
    assert passages(request).shape == (TEXTS, 16)
    assert "has no validation text" in capsys.readouterr().err
    assert torch.equal(passages(request), passages(request)), "the same every time"
    assert request.head_reports == []


def test_three_words_do_not_show_what_a_head_does(tmp_path):
    with pytest.raises(UserError, match="texts of 3 tokens"):
        show(ShowRequest(small(), TOKENIZER, "", tmp_path / "a.ckpt", {"passages": [[1, 2, 3]]}))


def test_a_number_stands_in_each_cell_and_none_where_there_is_no_score():
    scores = np.array([[0.0, 1.0, np.nan], [0.5, 0.25, 0.75]])
    rgb = scores_picture(scores, "title", "meaning")
    alone = scores_picture(np.full((2, 3), np.nan), "title", "meaning")
    assert rgb.shape == alone.shape
    assert (rgb != alone).any(-1).sum() > 1000
    signed = scores_picture(np.array([[-1.0, 1.0]]), "title", "meaning")
    assert len(np.unique(signed.reshape(-1, 3), axis=0)) > 10
