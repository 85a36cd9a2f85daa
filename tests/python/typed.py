"""Uses of the public names for a type checker: `make check` runs mypy on this file, and nothing executes it."""

from pathlib import Path
from typing import Any, assert_type

from torch import Tensor

import headscope
from headscope.data.tokenizers import Tokenizer
from headscope.heads import HeadReport
from headscope.model.transformer import LanguageModel


def uses(path: Path) -> None:
    assert_type(headscope.compose("seed=1"), dict[str, Any])
    run = headscope.train("seed=1")
    assert_type(run, headscope.Run)
    assert_type(run.folder, Path)
    assert_type(run.summary, dict[str, Any])
    assert_type(run.history, list[dict[str, float]])
    assert_type(run.losses, list[float])
    trained: headscope.Trained = run
    assert_type(headscope.load(path), headscope.Trained)
    assert_type(trained.model, LanguageModel)
    assert_type(trained.tokenizer, Tokenizer)
    assert_type(trained.about, dict[str, Any])
    assert_type(trained.generate("a", temperature=0), str)
    assert_type(trained.next("a"), list[tuple[str, float]])
    assert_type(trained.loss("ab"), float)
    heads = trained.heads("a")
    assert_type(heads, headscope.Heads)
    assert_type(heads.maps, Tensor)
    assert_type(heads.tokens, list[str])
    assert_type(heads.reports, list[HeadReport])
    assert_type(trained.page("a"), headscope.Page)
    assert_type(trained.page().save("a.html"), Path)
    ids = trained.tokenizer.encode("ab")
    assert_type(trained.tokenizer.decode(ids), str)
    assert_type(trained.tokenizer.decode(ids.tolist()), str)
    try:
        assert_type(headscope.__version__, str)
    except (headscope.UserError, headscope.RunFailed) as error:
        assert_type(error, headscope.UserError | headscope.RunFailed)
