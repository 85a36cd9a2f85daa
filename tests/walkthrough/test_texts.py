"""How a text gets its numbers, and which errors it reports."""

import inspect

import pytest
import torch

from headscope.walkthrough import texts
from headscope.walkthrough.__main__ import WALKS
from headscope.walkthrough.matrix import Numbers

TEXT = """# Which {thing}?

## First

Question: Why?

It has {count} rows.

If odd: The number is odd.

Unless odd: The number is even.

Formula: a = b; c = d

Code: len

Matrices: [values] × [values]ᵀ = [weights][-1]

Notice: {values[1][0]}, {values[max][y]}, {values[-1][sum]:.1f}

Set: {option}

Watch: values[b][y]

Change: What?

Because: So.

## Common mistakes

### A mistake

It costs {values[a][x]:.2f}.

## Three questions

### One?

Yes.
"""


def numbers(**changes):
    found = Numbers({"thing": "{thing}", "count": 1200, "odd": False, "option": "x=1"} | changes)
    values = torch.tensor([[1.0, -2.0], [3.0, 1e-6]])
    found.add(("values", "V", values), rows=("a", "b"), columns=("x", "y"))
    found.add(("weights", "A", torch.tensor([0.5, 0.5])), rows=("a", "b"), kind="weights")
    return found


def test_a_text_is_filled():
    result = texts.fill(TEXT, {"len": len}, numbers())
    (step,) = result.steps
    assert result.question == "Which {thing}?", "a value is not filled again"
    assert step.text == "It has 1,200 rows. The number is even."
    assert step.formula == "a = b    c = d"
    assert step.notice == "3.0000, 1e-06, 3.0"
    assert step.code == [len]
    titles = [part if isinstance(part, str) else part.title for part in step.equation]
    assert titles == ["values", "×", "values, transposed", "=", "weights of b"]
    assert [matrix.title for matrix in step.matrices] == ["values"]
    assert step.change == ("x", "1", "What?", ("values", 1, 1), "So.")
    assert result.mistakes == [("A mistake", "It costs 1.00.")]
    assert result.checks == [("One?", "Yes.")]
    assert texts.fill(TEXT, {"len": len}, numbers(odd=True, option="")).steps[0].change is None


def test_a_missing_or_unused_name_is_an_error():
    found = numbers(things="x")
    del found["thing"]
    with pytest.raises(ValueError, match=r"compute \['thing'\].*does not use \['things'\]"):
        texts.fill(TEXT, {"len": len}, found)


@pytest.mark.parametrize("walk", [w for w in WALKS.values() if "checkpoint" not in w.options], ids=lambda w: w.name)
def test_every_step_has_lines_in_the_notebook(walk):
    source = inspect.getsource(walk.compute)
    titles = [line.strip().removeprefix("# %% ") for line in source.splitlines() if line.strip().startswith("# %% ")]
    assert titles == [step.title for step in walk.run(walk.seed).steps]
