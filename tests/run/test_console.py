"""The screen shows every text as it is: no markup, no emoji, in a terminal and in a pipe."""

import io
import logging
from unittest.mock import patch

import pytest
import torch

from headscope import shell
from headscope.data.tokenizers import WordTokenizer
from headscope.run.console import ConsoleHandler
from headscope.run.folder import Status
from headscope.show import attribution
from headscope.show import next as show_next
from headscope.show.request import ShowRequest
from headscope.sweep.jobs import Job
from headscope.sweep.pool import JobDisplay
from tests.conftest import small
from tests.inside import train

AWKWARD = [":a:", ":x:", ":on:", "a:smile:b", "[bold]x[/bold]", "[/]", "[link=x]y", "\\[x]", "x  y", "100%", "{task}"]


@pytest.fixture(params=[True, False], ids=["terminal", "pipe"])
def screen(request, monkeypatch):
    """Returns what an action prints on a wide terminal without colours, or into a pipe."""
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "300")

    def printed(action):
        stream = io.StringIO()
        stream.isatty = lambda: request.param
        shell.console.cache_clear()
        with patch("sys.stdout", stream):
            action()
        shell.console.cache_clear()
        return stream.getvalue()

    return printed


@pytest.mark.parametrize("text", AWKWARD)
def test_a_log_line_is_printed_as_it_is(text, screen):
    record = logging.makeLogRecord({"msg": f"run saved to {text}"})
    assert screen(lambda: ConsoleHandler().emit(record)) == f"run saved to {text}\n"


def test_a_pipe_gets_tabs_and_control_characters(capsys):
    ConsoleHandler().emit(logging.makeLogRecord({"msg": "a\tb\rc\x0bd"}))
    assert capsys.readouterr().out == "a\tb\rc\x0bd\n"


@pytest.mark.parametrize("text", AWKWARD)
def test_the_jobs_of_a_sweep_are_named_as_they_are(text, screen):
    def run():
        display = JobDisplay(2, live=False)
        display.show_start(Job(text, ()))
        display.show_progress(Job(text, ()), Status("running", "", (1, 2), [], {}))
        display.console.print(display.get_renderable())
        display.show_end(Job(text, ()), Status("failed", f"reason {text}", (1, 2), [], {}))

    started, bar, ended = screen(run).splitlines()
    assert started == f"{text} started"
    assert bar.startswith(f"{text} ")
    assert ended == f"  1/2 {text} failed: reason {text}"


@pytest.mark.parametrize("show", [show_next.show, attribution.show])
def test_tokens_are_shown_as_they_are(show, screen):
    words = [word for word in AWKWARD if " " not in word]
    tokenizer = WordTokenizer(vocab=words)
    model = small(vocab_size=len(words)).eval()
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.copy_(torch.arange(len(words), 0, -1.0))
    printed = screen(lambda: show(ShowRequest(model, tokenizer, words[-1], "x.ckpt")))
    for word in words if show is show_next.show else words[:2]:
        assert f" {word} " in printed.replace("\n", " ")


@pytest.mark.slow
@pytest.mark.parametrize("name", [":x:", ":on:a", "x:a:y"])
def test_a_run_prints_its_name_and_its_sample_as_they_are(name, tmp_path):
    folder = tmp_path / name
    small_run = ("model.n_layers=1", "model.d_model=16", "heads=h1", "model.block_size=8", "trainer.max_steps=2")
    text = (f"data.sentences=['{name} is {name}']", "data=toy", f"name={name}", "callbacks=none", "logger=none")
    code, printed = train(*small_run, *text, f"hydra.run.dir={folder}", cwd=tmp_path)
    assert code == 0, printed
    assert f"run saved to {name}" in printed
    assert f"{name}: train loss" in printed
