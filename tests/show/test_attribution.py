"""The printed table of contributions adds up to its sums."""

import re

import pytest
import torch

from headscope.data.tokenizers import CharTokenizer
from headscope.errors import UserError
from headscope.generation.text import next_tokens
from headscope.model.mlp import FixedContextMLP
from headscope.show.attribution import largest, show
from headscope.show.request import ShowRequest
from tests.conftest import SCHEMES, small

TOKENIZER = CharTokenizer(vocab=list("\n abcdefgh["))


def printed(capsys, **options):
    """Returns the first line, the names of the parts, and the two columns, each with its sum as the last entry."""
    show(ShowRequest(tokenizer=TOKENIZER, **options))
    text = capsys.readouterr().out
    rows = re.findall(r"^  (\S.*?) +([+-]\d+\.\d{4}) +[█░]* +([+-]\d+\.\d{4}) *$", text, re.MULTILINE)
    names, to_logit, to_lead = zip(*rows, strict=True)
    return text, names, [float(x) for x in to_logit], [float(x) for x in to_lead]


@pytest.mark.parametrize("rows", [None, 3, 1])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_both_columns_add_up(scheme, rows, tmp_path, capsys):
    model = small(scheme).eval()
    text, names, *columns = printed(capsys, model=model, prompt="abc [da\n", checkpoint=tmp_path, rows=rows)
    assert names[-1] == "sum"
    assert len(names) == (2 * (2 + 1) + 4 if rows is None else rows + 1) + 1
    for shares in columns:
        assert sum(shares[:-1]) == pytest.approx(shares[-1], abs=1e-4 * len(shares))
    assert columns[0][:-1] == sorted(columns[0][:-1], reverse=True)
    logits = model(TOKENIZER.encode("abc [da\n")[None])[0, -1].detach()
    assert columns[0][-1] == pytest.approx(float(logits.max()), abs=1e-4)
    top = logits.sort(descending=True).values
    assert columns[1][-1] == pytest.approx(float(top[0] - top[1]), abs=1e-4)
    (_, p), _ = next_tokens(model, TOKENIZER, "abc [da\n", 2)
    assert f"probability {p:.4f}" in text


def test_labels_are_shown_as_they_are(tmp_path, capsys):
    model = small().eval()
    torch.nn.init.constant_(model.head.bias, -9.0)
    with torch.no_grad():
        model.head.bias[[0, 10]] = torch.tensor([90.0, 80.0])
    text, *_ = printed(capsys, model=model, prompt="a", checkpoint=tmp_path)
    assert "most likely next: ↵, probability 1.0000" in text or "most likely next: ↵, probability 0.9" in text
    assert "logit of ↵" in text
    assert "lead over [" in text


def test_what_is_not_shown_alone_is_shown_together():
    shares = [("a", 3.0, 1.0), ("b", -4.0, 0.5), ("c", 0.5, 0.25), ("d", -0.25, 2.0)]
    assert largest(shares, 2) == [("a", 3.0, 1.0), ("2 others", 0.25, 2.25), ("b", -4.0, 0.5)]
    assert largest(shares, 4) == [shares[0], shares[2], shares[3], shares[1]]


def test_a_model_without_heads_is_refused(tmp_path):
    request = ShowRequest(FixedContextMLP(11, 3, 4, 8, 16), TOKENIZER, "a", tmp_path / "best.ckpt")
    with pytest.raises(UserError, match=r"best.ckpt holds a FixedContextMLP, which has no heads; show=next works"):
        show(request)
