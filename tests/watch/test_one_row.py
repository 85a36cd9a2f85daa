"""Adding a score takes one row: reports, tables, sentences, pictures, scalars and the page's data then include it."""

import re
from types import SimpleNamespace

import torch

from headscope.data.tokenizers import CharTokenizer
from headscope.heads import describe, repeated_probe, table
from headscope.heads.measurements import RowScores
from headscope.heads.reports import OTHER_SCORES
from headscope.heads.roles import ROLE_RULES, RoleRule
from headscope.heads.sentences import sentences
from headscope.run.recorder import Recorder
from headscope.show import heads as show_heads
from headscope.show.page import page
from headscope.show.request import ShowRequest
from headscope.watch.heads import Heads, HeadView
from tests.conftest import small


class Pictures(Recorder):
    def __init__(self):
        self.tags, self.texts = [], {}

    def record_picture(self, tag, rgb, step):
        self.tags.append(tag)

    def record_text(self, tag, text, step):
        self.texts[tag] = text


def certain(probe):
    """A score that stands out in every head and row."""
    rows, uniform = probe.maps[..., 0], probe.uniform[..., 0]
    return RowScores(torch.ones_like(rows), torch.full_like(uniform, 0.25), torch.full_like(rows, 0.5), False)


def test_a_score_with_a_role_is_one_row(monkeypatch, tmp_path):
    rule = RoleRule("bracket", "text", certain, "puts {share} of its attention on the {unit} “(”", "weight on brackets")
    monkeypatch.setitem(ROLE_RULES, "bracket matching", rule)
    model = small().eval()
    text = torch.randint(11, (4, 16), generator=torch.Generator().manual_seed(0))
    reports = describe(model, text, repeated_probe(11, 16, 4))
    assert {(r.role, r.scores["bracket"], r.evidence.score) for r in reports} == {("bracket matching", 1.0, "bracket")}
    assert "bracket matching  bracket  1.000  0.250    0.500" in table.as_text(reports)
    assert "bracket" in table.to_csv(table.rows(reports, 0)).splitlines()[0].split(",")
    assert sentences(reports[0], "character").startswith("L0H0 puts 100% of its attention on the character “(”. A head")

    logger, scalars = Pictures(), {}
    trainer = SimpleNamespace(is_global_zero=True, global_step=0, max_steps=9, val_check_interval=9, loggers=[logger])
    trainer.accumulate_grad_batches, trainer.state = 1, SimpleNamespace(fn="fit")
    view = HeadView(model, text, None, reports)
    Heads(str(tmp_path)).show(trainer, SimpleNamespace(report=scalars.update), view)
    assert "heads/bracket" in logger.tags
    assert scalars["heads/L1H1/bracket"] == 1
    assert "bracket matching" in logger.texts["heads"]
    assert "bracket" in (tmp_path / "heads.csv").read_text()

    about = {"passages": text.tolist()}
    request = ShowRequest(model, CharTokenizer(vocab=list("\n abcdefgh[")), "", tmp_path / "a.ckpt", about)
    assert "bracket" in show_heads.score_pictures(reports, "step 0")
    assert set(re.findall(r'"role":"([^"]*)"', page(request))) == {"bracket matching"}


def test_a_score_without_a_role_is_one_row(monkeypatch):
    monkeypatch.setitem(OTHER_SCORES, "first_row", lambda x: x.maps[..., 0, 0].mean(1))
    reports = describe(small(), torch.randint(11, (2, 16)), repeated_probe(11, 16, 4))
    assert {r.scores["first_row"] for r in reports} == {1.0}
    assert "first_row" in table.to_csv(table.rows(reports, 0)).splitlines()[0].split(",")
