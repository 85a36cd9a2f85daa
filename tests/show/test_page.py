"""The file that `show=page` writes: its contents, its name, and refused requests."""

import json
import re

import pytest
import torch

import headscope
from headscope.cli.generate import write
from headscope.config.generate_keys import GenerateConfig
from headscope.data.tokenizers import CharTokenizer
from headscope.errors import UserError
from headscope.heads import film as films
from headscope.heads import look
from headscope.model.mlp import FixedContextMLP
from headscope.show import page as writer
from headscope.show.page import page, target, without_padding
from headscope.show.request import ShowRequest
from tests.conftest import small

TOKENIZER = CharTokenizer(vocab=list("abcdefghijk"))


def described(html):
    return json.loads(re.search(r'<script type="application/json" id="described">(.*?)</script>', html)[1])


def test_a_run_has_a_page_that_names_no_other_file(toy_run, tmp_path, capsys):
    checkpoint = str(toy_run[0] / "checkpoints" / "best.ckpt")
    write(GenerateConfig(checkpoint=checkpoint, show="page", out=str(tmp_path / "model.html")), "I love")
    printed = capsys.readouterr()
    assert printed.out == f"{tmp_path / 'model.html'}\n"
    assert "weights in float16" in printed.err
    html = (tmp_path / "model.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", html)
    assert not re.search(r"<(link|script|img)[^>]*\b(src|href)=(?!\"data:)", html)
    content = described(html)
    _, tokenizer, _ = headscope.load(checkpoint)
    assert content["text"] == tokenizer.encode("I love").tolist()
    assert [frame["step"] for frame in content["film"]["frames"]] == [0, 50, 100, 150, 200]
    assert content["title"] == "toy"


def test_the_same_checkpoint_gives_the_same_bytes(tmp_path):
    request = ShowRequest(small().eval(), TOKENIZER, "abc", tmp_path / "x.ckpt")
    assert page(request) == page(request)


def test_markup_in_a_name_or_a_vocabulary_stays_text(tmp_path):
    tokenizer = CharTokenizer(vocab=sorted(set("</script><!--$&'\"é\n")))
    about = {"name": "</title><script>alert(1)</script>", "data": {"name": "<b>"}}
    html = page(ShowRequest(small(vocab_size=len(tokenizer)).eval(), tokenizer, "<!--", tmp_path / "x.ckpt", about))
    assert html.count("<script") == 5
    assert html.count("</script>") == 5
    assert "<!--" not in html.split("<body>")[1]
    assert described(html)["vocabulary"]["vocab"] == tokenizer.vocab
    assert described(html)["title"] == about["name"]


def test_weights_keep_half_their_bits_only_where_that_is_harmless(tmp_path, capsys):
    model = small().eval()
    page(ShowRequest(model, TOKENIZER, "abc", tmp_path))
    assert "weights in float16: rounding to float16 changes a logit by" in capsys.readouterr().err
    with torch.no_grad():
        model.head.weight.mul_(1000)
    html = page(ShowRequest(model, TOKENIZER, "abc", tmp_path))
    assert "weights in float32" in capsys.readouterr().err
    assert described(html)["model"]["embedding"]["type"] == "float32"


@pytest.mark.parametrize(("largest", "sooner"), [(50_000, False), (5_000, True)])
def test_a_page_that_no_browser_opens_well_is_refused(tmp_path, monkeypatch, capsys, largest, sooner):
    monkeypatch.setattr(writer, "LARGEST", largest)
    with pytest.raises(UserError, match=r"would be 0 MB.*smaller model"):
        page(ShowRequest(small().eval(), TOKENIZER, "", tmp_path))
    assert (capsys.readouterr().err == "") == sooner, "a model whose weights alone are too many is not even rounded"


def test_a_model_with_a_damaged_weight_is_not_blamed_on_its_parts(tmp_path):
    model = small().eval()
    with torch.no_grad():
        model.head.weight[0] = float("nan")
    with pytest.raises(UserError, match="logits are not finite"):
        page(ShowRequest(model, TOKENIZER, "abc", tmp_path))


def test_a_page_with_nothing_to_show_is_refused(tmp_path):
    class Own(FixedContextMLP):
        def forward(self, ids):
            return super().forward(ids) + 1

    model = Own(vocab_size=11, context=4, d_model=4, hidden=8, block_size=8).eval()
    with pytest.raises(UserError, match=r"nothing to show: Own computes something"):
        page(ShowRequest(model, TOKENIZER, "abc", tmp_path))


def test_a_text_begins_without_what_fills_it_up():
    text = torch.tensor([3, 0, 4, 0, 0])
    assert without_padding(text, 0).tolist() == [3, 0, 4]
    assert without_padding(text, None).tolist() == text.tolist()
    assert without_padding(torch.zeros(3), 0).shape == (3,)


def test_where_it_is_written(tmp_path):
    request = lambda out, about=None: ShowRequest(small(), TOKENIZER, "", tmp_path / "best.ckpt", about or {}, out=out)  # noqa: E731
    assert target(request(None)) == tmp_path / "best-page.html"
    assert target(request(None, {"step": 1700})) == tmp_path / "best-step1700-page.html"
    assert target(request(tmp_path / "a.html")) == tmp_path / "a.html"
    assert target(request(tmp_path / "a.HTML")) == tmp_path / "a.HTML"
    dotted = ShowRequest(small(), TOKENIZER, "", tmp_path / "nano-0.9.ckpt", {"step": 5})
    assert target(dotted) == tmp_path / "nano-0.9-step5-page.html"
    assert target(request(tmp_path / "new")) == tmp_path / "new" / "model.html"
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(UserError, match="is a folder"):
        target(request(tmp_path / "folder.html"))
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file"):
        target(request(tmp_path / "file"))


def test_a_damaged_film_is_left_out(tmp_path, capsys):
    (tmp_path / "film.gz").write_bytes(b"no film")
    html = page(ShowRequest(small().eval(), TOKENIZER, "abc", tmp_path, film=tmp_path / "film.gz"))
    assert described(html)["film"] is None
    assert "is damaged" in capsys.readouterr().err


def test_a_film_of_another_model_is_left_out(tmp_path):
    other = small(n_heads=4)
    kept = films.Film([1, 2], [films.frame(0, look(other, torch.tensor([[1, 2]]), "maps").maps, {})])
    (tmp_path / "film.gz").write_bytes(kept.to_bytes())
    for model, ids in ((small(), None), (other, [1, 2])):
        html = page(ShowRequest(model.eval(), TOKENIZER, "abc", tmp_path, film=tmp_path / "film.gz"))
        film = described(html)["film"]
        assert (film and film["ids"]) == ids
