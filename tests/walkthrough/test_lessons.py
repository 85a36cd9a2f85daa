"""The text of a walk is true: its code gives its numbers, and its suggested changes have the stated effect."""

import re
import shlex

import numpy as np
import pytest
import torch

from headscope.model import attention as models
from headscope.walkthrough import friends, plain, toy
from headscope.walkthrough.__main__ import WALKS
from headscope.walkthrough.matrix import Matrix
from tests.walkthrough.reference import attend, double, matrices, shown

SMALL = ["toy", "friends", "fox", "causal-head", "part4"]


def plainly(text):
    """Returns a text without the line breaks of a terminal."""
    return re.sub(r"\s+", " ", text)


def changes(out):
    """Yields the commands that a walk's output suggests, each with the sentence that states its effect."""
    for command, answer in re.findall(r"Change: [^\n]*(?:\n(?! {4})[^\n]*)*\n {4}([^\n]*)\n((?:[^\n]+\n)+)", out):
        yield shlex.split(command)[3:], plainly(answer)


def number_at(out, answer):
    """Returns the number in an output at the row and column that an answer names."""
    title, row, column = re.match(r"(.*?), row “(.*?)”, column “(.*?)”: ", answer).groups()
    table = re.split(rf"\n(?:[^\n]* {{2}})?{re.escape(title)} +shape", out)[1]
    header, _, *rows = table.split("\n\n")[0].splitlines()[1:]
    line = next(r for r in rows if r.startswith(f"{row} "))
    cells = line.removeprefix(row).split()
    return cells[header.split().index(column)]


@pytest.mark.parametrize("name", SMALL)
def test_every_change_shows_what_its_answer_says(walk, name):
    _, out, _ = walk(name, columns=200)
    found = list(changes(out))
    assert len(found) == sum(step.change is not None for step in WALKS[name].run(WALKS[name].seed).steps) >= 2
    for arguments, answer in found:
        code, after, err = walk(*arguments, columns=200)
        assert (code, err) == (0, "")
        moved = re.search(r"(?:goes from (\S+) to|stays) (\S+?)\. ", answer)
        before, then = moved.groups()
        assert number_at(after, answer) == then, (arguments, answer)
        assert number_at(out, answer) == (before or then), (arguments, answer)
        back = [a for a, _ in changes(after) if a[2].partition("=")[0] == arguments[2].partition("=")[0]]
        assert back, "what was changed can be changed back"
        assert all(a[2] != arguments[2] for a in back)


def test_options_are_kept_in_what_is_proposed(walk):
    _, out, _ = walk("fox", "--set", "width=4", "--seed", 3, "--sentence", "a b 'c' d", columns=200)
    for arguments, _ in changes(out):
        assert "--seed" in arguments
        assert "a b 'c' d" in arguments
        assert ("width=4" in arguments) or arguments[2].startswith("width=")


@pytest.mark.parametrize("name", SMALL)
def test_the_code_that_is_shown_is_short_and_is_what_stands_in_the_file(name):
    for step in WALKS[name].run(WALKS[name].seed).steps:
        for function in step.code:
            assert function.__name__ in step.source
        lines = step.source.splitlines()
        assert len(lines) <= 16, step.title
        assert max(map(len, lines), default=0) <= 76, step.title
        assert '"""' not in step.source
        assert "ignore" not in step.source


@pytest.mark.parametrize("name", SMALL)
def test_every_step_is_whole_and_three_questions_close(name):
    result = WALKS[name].run(WALKS[name].seed)
    for step in result.steps:
        assert step.question.endswith("?")
        assert step.text
        assert step.formula
        assert step.notice
        assert step.matrices
    assert len(result.checks) == 3
    assert all(question.endswith("?") and answer for question, answer in result.checks)
    assert len(result.mistakes) >= 2
    assert sum(bool(re.search(r"\d", text)) for _, text in result.mistakes) >= 2
    expected = (
        repr(result.mistakes) + repr([(s.question, s.text, s.notice) for s in result.steps]) + repr(result.checks)
    )
    assert "document" not in expected


def test_plain_is_what_the_models_compute():
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 7, 5, dtype=torch.float64) for _ in range(3))
    for causal in (False, True):
        scores = plain.scale(plain.compare(q, k), 5)
        scores = plain.hide_later(scores) if causal else scores
        torch.testing.assert_close(scores, models.attention_scores(q, k, causal=causal))
        torch.testing.assert_close(plain.weigh(scores), models.attention_weights(q, k, causal=causal))
        out = models.attention(q, k, v, causal=causal)
        torch.testing.assert_close(plain.mix(plain.weigh(scores), v), out)
        torch.testing.assert_close(plain.weight_values(plain.weigh(scores)[0, 3], v[0]).sum(0), out[0, 3])


@pytest.mark.parametrize("sharpness", [0.0, 1.0, 10.0, 100.0])
@pytest.mark.parametrize("keys", ["alike", "opposite"])
def test_the_chosen_friends_again_in_float64(sharpness, keys):
    x = np.array(list(friends.FRIENDS.values()))
    taste = x[:, 2:] - x[:, :1]  # travel minus music
    right = attend(sharpness * taste, taste * (1 if keys == "alike" else -1), x, scale=1)
    found = matrices(friends.WALK.run(0, sharpness=sharpness, keys=keys))
    np.testing.assert_allclose(found["chosen scores"], right["scores"], atol=1e-5)
    np.testing.assert_allclose(found["chosen weights"], right["weights"], atol=1e-5)
    np.testing.assert_allclose(found["chosen output"], right["output"], atol=1e-5)


def test_the_chosen_friends_form_two_camps_and_the_random_ones_none():
    found = matrices(friends.WALK.run(0))
    assert abs(found["weights"] - 0.25).max() < 0.03
    assert found["chosen weights"][2, 2] > 0.99, "Charlie listens to himself"
    assert found["chosen weights"][[0, 1, 3], 2].max() < 0.05, "and nobody else to Charlie"
    turned = matrices(friends.WALK.run(0, keys="opposite"))["chosen weights"]
    assert (turned[[0, 1, 3]].argmax(1) == 2).all(), "opposites meet"
    assert (matrices(friends.WALK.run(0, sharpness=0.0))["chosen weights"] == 0.25).all()


def test_a_mask_leaves_the_last_word_s_answer_alone():
    free, masked = (matrices(toy.WALK.run(0, mask=mask))["probabilities"] for mask in (False, True))
    np.testing.assert_allclose(masked, free, atol=1e-6)


def test_a_page_colours_what_it_shows():
    values = torch.tensor([[-2.0, 1.0], [0.0, float("-inf")]])
    matrix = Matrix("m", "M", values, ("a", "b"), ("x", "y"))
    assert matrix.shades == [[("n", 1.0), ("p", 0.5)], [("p", 0.0), ("h", 0.0)]]
    weights = Matrix("w", "A", torch.tensor([[1.0, 0.0], [0.25, 0.75]]), ("a", "b"), (), "weights")
    assert weights.shades == [[("p", 1.0), ("h", 0.0)], [("p", 0.5), ("p", 0.87)]]
    assert matrix.transposed.cells == [["-2.0000", "0.0000"], ["1.0000", "-∞"]]
    assert matrix.row(1).rows == ("b",)


def test_the_list_names_every_option(walk):
    _, out, _ = walk(columns=200)
    for name, lesson in WALKS.items():
        line = next(line for line in out.splitlines() if line.startswith(f"{name} "))
        assert all(f"{option}=" in line for option in lesson.options)
        assert lesson.read([]) == {}


def test_part_4_of_another_shape_is_counted(walk):
    result = WALKS["part4"].run(42, layers=2, width=64, heads=4)
    embedding, block = 65 * 64, 4 * 64 * 64 + 2 * 2 * 64 + 8 * 64 * 64 + 5 * 64
    total = embedding + 2 * block + 2 * 64 + 65 * 64 + 65
    assert shown(result, "parameters").values[-1, 0].item() == total
    assert double(shown(result, "parameters").values)[:-1].sum() == total


def test_a_change_that_does_not_fit_the_other_options_is_not_suggested(walk):
    code, out, _ = walk("part4", "--set", "width=30", "--set", "heads=6")
    assert code == 0
    assert "--set layers=12" in out
    assert "--set heads=4" not in out
