"""Reads the text of a walk and fills in its numbers; docs/WALKS.md describes the format."""

import re
from collections.abc import Callable, Mapping, Sequence
from string import Formatter
from typing import Any

from torch import Tensor

from headscope.walkthrough.matrix import REFERENCE, Matrix, Numbers, format_number
from headscope.walkthrough.step import Change, Mistake, Step, WalkResult

MISTAKES, CHECKS, NOTEBOOK = "Common mistakes", "Three questions", "In a notebook"
LABELS = "Question|Formula|Code|Matrices|Notice|Change|Set|Watch|Because"
PARAGRAPH = re.compile(rf"(?:(?:({LABELS})|(If|Unless) (\w+)): )?(.*)")


class _Filler(Formatter):
    """Fills named values and cells of matrices into a text."""

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        name, *place = re.findall(r"[^\[\]]+", field_name)
        return kwargs[name].cell(*place) if place else kwargs[name], name

    def format_field(self, value: Any, format_spec: str) -> str:
        value = value.item() if isinstance(value, Tensor) else value
        if isinstance(value, str) or format_spec:
            return format(value, format_spec)
        return format_number(value)


def sections(markdown: str, level: int = 2) -> dict[str, str]:
    """The sections below the headings of a level, by heading; the text before the first heading has an empty one."""
    before, *rest = re.split(rf"^{'#' * level} ", markdown, flags=re.M)
    return {"": before} | {title.strip(): body for title, _, body in (part.partition("\n") for part in rest)}


def fields(body: str, numbers: Numbers) -> dict[str, str]:
    """The filled paragraphs of a section by label; those without a label are `Text`."""
    found: dict[str, str] = {}
    latest = ""
    for paragraph in re.split(r"\n\s*\n", body.strip()):
        match = PARAGRAPH.fullmatch(" ".join(paragraph.split()))
        assert match is not None
        label, condition, name, text = match.groups()
        if condition and bool(numbers[name]) != (condition == "If"):
            continue
        if not condition:
            latest = label or "Text"
        filled = fill_values(text, numbers)
        found[latest] = f"{found[latest]} {filled}" if latest in found else filled
    return found


def fill_values(text: str, numbers: Numbers) -> str:
    return _Filler().vformat(text, (), numbers)


def fill(markdown: str, functions: Mapping[str, Any], numbers: Numbers) -> WalkResult:
    """Fills a text with numbers, and with the functions that it names.

    Raises:
        ValueError: the text names a number that is missing, or does not use one of the numbers.
    """
    walk, _, _ = markdown.partition(f"## {NOTEBOOK}\n")
    _check_names(walk, numbers)
    parts = sections(walk)
    heading, _, about = parts.pop("").removeprefix("# ").partition("\n")
    mistakes, checks = parts.pop(MISTAKES), parts.pop(CHECKS)
    shown: set[str] = set()
    steps = [_step(fill_values(title, numbers), body, functions, numbers, shown) for title, body in parts.items()]
    return WalkResult(
        fill_values(heading, numbers),
        steps,
        [Mistake(*entry) for entry in _entries(mistakes, numbers)],
        _entries(checks, numbers),
        fill_values(" ".join(about.split()), numbers),
        numbers,
    )


def _step(
    title: str, body: str, functions: Mapping[str, Callable[..., Any]], numbers: Numbers, shown: set[str]
) -> Step:
    """One step. `shown` has the titles of the matrices of earlier steps; the titles of this step are added."""
    text = fields(body, numbers)
    equation = numbers.equation(text["Matrices"])
    matrices = [m for m in equation if isinstance(m, Matrix) and not m.is_view and m.title not in shown]
    shown.update(matrix.title for matrix in matrices)
    return Step(
        title=title,
        question=text["Question"],
        text=text["Text"],
        formula=text["Formula"].replace("; ", "    "),
        code=[functions[name] for name in text.get("Code", "").replace(",", " ").split()],
        equation=equation,
        matrices=matrices,
        notice=text["Notice"],
        change=_change(text, numbers),
    )


def _change(text: Mapping[str, str], numbers: Numbers) -> Change | None:
    if not text.get("Set"):
        return None
    option, _, value = text["Set"].partition("=")
    name, row, column = re.findall(r"[^\[\]]+", text["Watch"])
    matrix = numbers[name]
    return Change(option, value, text["Change"], (matrix.title, *matrix.place(row, column)), text["Because"])


def _entries(body: str, numbers: Numbers) -> list[tuple[str, str]]:
    """The `### ` headings of a section, each with its text."""
    entries = sections(body, level=3)
    entries.pop("")
    return [(fill_values(title, numbers), fields(text, numbers)["Text"]) for title, text in entries.items()]


def _check_names(markdown: str, numbers: Numbers) -> None:
    unwrapped = re.sub(r"\n(?=\S)", " ", markdown)  # a name may be on two lines
    names = {field.partition("[")[0] for _, field, _, _ in Formatter().parse(unwrapped) if field}
    names |= set(re.findall(r"^(?:If|Unless) (\w+): ", markdown, flags=re.M))
    names |= set(re.findall(r"^Watch: ([^\[]+)", markdown, flags=re.M))
    for equation in re.findall(r"^Matrices: (.*)", markdown, flags=re.M):
        names |= {name for name, _, _ in REFERENCE.findall(equation)}
    if wrong := names ^ set(numbers):
        missing, unused = sorted(wrong - set(numbers)), sorted(wrong - names)
        raise ValueError(f"the text names {missing}, which are not computed; it does not use {unused}")
