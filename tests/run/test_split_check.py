"""A run warns from its first validation on if its validation text is of another kind."""

import json

import pytest

from headscope.data.pydoc import PyDoc
from tests.inside import train

TINY = ("model.n_layers=1", "model.d_model=32", "heads=h2", "model.block_size=16", "trainer.max_steps=8")
TINY = (*TINY, "trainer.val_check_interval=4", "trainer.threads=1", "callbacks=none", "logger=none")
WARNING = "differ in their pairs of neighbouring"
ENGLISH = PyDoc().read()[:40_000]
OTHER = {
    "german": "Der schnelle braune Fuchs springt über den faulen Hund und läuft zurück in den Wald. " * 60,
    "digits": "12345 67890\n" * 400,
    "code": "if __name__ == '__main__':\n    sys.exit(main(sys.argv[1:]))\n" * 80,
}


@pytest.fixture
def run(tmp_path):
    """Trains on a folder with the given texts; returns what is printed."""

    def trained(*texts, options=(), kind=("data=text", "data.path=texts")):
        (tmp_path / "texts").mkdir(exist_ok=True)
        for number, text in enumerate(texts):
            (tmp_path / "texts" / f"{number}.txt").write_text(text)
        code, printed = train(*TINY, *kind, *options, "hydra.run.dir=run", cwd=tmp_path)
        assert code == 0, printed
        return printed

    return trained


@pytest.mark.parametrize("other", OTHER)
def test_a_last_file_of_another_kind_is_one_warning(other, run):
    lines = [line for line in run(ENGLISH, OTHER[other]).splitlines() if WARNING in line]
    assert len(lines) == 1
    assert lines[0].startswith(f"the training split and the validation split of texts {WARNING} characters, by about ")
    assert lines[0].endswith("; to check, compare with a new run with data.split=interleaved")


def test_an_interleaved_split_has_no_warning_and_is_recorded(run, tmp_path):
    printed = run(ENGLISH, OTHER["german"], options=["data.split=interleaved"])
    assert WARNING not in printed
    assert "sections" in json.loads((tmp_path / "run" / "summary.json").read_text())["data"]["note"]
    code, printed = train("resume=run", "data.split=last", "trainer.max_steps=10", cwd=tmp_path)
    assert code == 2
    assert "data.split cannot change from interleaved to last when a run is resumed" in printed
    best = ("task=validate", "checkpoint=run", "callbacks=none", "logger=none", "hydra.run.dir=v")
    code, printed = train(*best, "data=text", "data.path=texts", cwd=tmp_path)
    assert code == 0, printed
    assert printed.splitlines()[-1].endswith(" on texts, which training split differently: data.split=interleaved")


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        ((ENGLISH[:20_000], ENGLISH[20_000:]), ("data=text", "data.path=texts")),
        ((), ("data=pydoc",)),
        ((), ("data=repeated", "data.longest=8", "data.vocab_size=10")),
        (("emma\nolivia\n" * 9, "12\n345\n" * 9), ("data=lines", "data.path=texts")),
    ],
)
def test_texts_of_one_kind_have_no_warning(texts, kind, run):
    assert WARNING not in run(*texts, kind=kind)


def test_a_split_of_another_name_is_one_line(tmp_path):
    code, printed = train(*TINY, "data=pydoc", "data.split=middle", "hydra.run.dir=run", cwd=tmp_path)
    assert code == 2
    assert "error: data.split=middle must be one of last, interleaved" in printed
