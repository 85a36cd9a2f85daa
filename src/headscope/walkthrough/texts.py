"""Reads the text of a walk and fills in its numbers; docs/WALKS.md describes the format."""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from string import Formatter
from typing import Any, NamedTuple

from torch import Tensor

from headscope.walkthrough.matrix import REFERENCE, Matrix, Numbers, format_number

MISTAKES, CHECKS, NOTEBOOK = "Common mistakes", "Three questions", "In a notebook"
LABELS = "Question|Formula|Code|Matrices|Notice|Change|Set|Watch|Because"
PARAGRAPH = re.compile(rf"(?:(?:({LABELS})|(If|Unless) (\w+)): )?(.*)")
Entry = tuple[str, str]  #: a heading and its text


class Change(NamedTuple):
    """A suggestion to change an option, with a number to watch."""

    option: str
    value: str  #: as typed; different from the option's default
    ask: str  #: the question, such as "What if no position is hidden?"
    at: tuple[str, int, int]  #: the number to watch: the title of a matrix, a row and a column
    because: str  #: why the number changes; also true if the change is undone


class TriedChange(NamedTuple):
    """A suggested change, and its effect on the number to watch."""

    command: str
    ask: str
    answer: str  #: the number before and after the change, and the reason


@dataclass(frozen=True)
class Step:
    """One step of a walk."""

    title: str
    question: str
    text: str
    formula: str  #: uses the symbols of the matrices; four spaces separate formulas
    code: Sequence[Callable[..., Any]]  #: short functions that the walk runs
    equation: Sequence[Matrix | str]  #: matrices, with the signs between them
    matrices: Sequence[Matrix]  #: the matrices of the equation that no earlier step showed
    notice: str
    change: Change | None

    @property
    def narrow(self) -> bool:
        """Whether a page has room for words next to the matrices."""
        signs = any(isinstance(part, str) for part in self.equation)
        return not signs and sum(m.values.shape[1] for m in self.matrices) <= 64

    @property
    def source(self) -> str:
        return "\n\n".join(map(source_of, self.code))


def source_of(function: Callable[..., Any]) -> str:
    """Returns the source of a function, without its docstring and without comments for the type checker."""
    return re.sub(r' *""".*"""\n|  # type: ignore.*', "", inspect.getsource(function).strip())


@dataclass(frozen=True)
class WalkResult:
    """The result of a run of a walk."""

    question: str  #: of the whole walk
    steps: Sequence[Step]
    mistakes: Sequence[Entry]  #: common mistakes, and their consequences in numbers
    checks: Sequence[Entry]  #: three questions with their answers
    about: str  #: names the model, if the walk uses a checkpoint
    numbers: Numbers
    arguments: Mapping[str, Any] = field(default_factory=dict)  #: the seed and options of the run
    changes: Sequence[TriedChange | None] = ()  #: one per step, or empty if the changes were not tried

    @property
    def matrices(self) -> list[Matrix]:
        return [matrix for step in self.steps for matrix in step.matrices]


class _Filler(Formatter):
    """Inserts named values and cells of matrices into a text."""

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        name, *cell = re.findall(r"[^\[\]]+", field_name)
        return kwargs[name].cell(*cell) if cell else kwargs[name], name

    def format_field(self, value: Any, format_spec: str) -> str:
        value = value.item() if isinstance(value, Tensor) else value
        return format(value, format_spec) if isinstance(value, str) or format_spec else format_number(value)


def fill_values(text: str, numbers: Numbers) -> str:
    return _Filler().vformat(text, (), numbers)


def sections(markdown: str, level: int = 2) -> dict[str, str]:
    """Returns the sections at a heading level, by heading; the text before the first heading has the key ""."""
    before, *rest = re.split(rf"^{'#' * level} ", markdown, flags=re.M)
    return {"": before} | {title.strip(): body for title, _, body in (part.partition("\n") for part in rest)}


def fields(body: str, numbers: Numbers) -> dict[str, str]:
    """Returns the paragraphs of a section by label (`Text` for paragraphs without a label), with values inserted."""
    found: dict[str, str] = {}
    latest = ""
    for paragraph in re.split(r"\n\s*\n", body.strip()):
        label, condition, name, text = PARAGRAPH.findall(" ".join(paragraph.split()))[0]
        if condition and bool(numbers[name]) != (condition == "If"):
            continue
        if not condition:
            latest = label or "Text"
        filled = fill_values(text, numbers)
        found[latest] = f"{found[latest]} {filled}" if latest in found else filled
    return found


def fill(markdown: str, functions: Mapping[str, Any], numbers: Numbers) -> WalkResult:
    """Inserts numbers and functions into a text by name; raises `ValueError` for a missing or unused number."""
    walk, _, _ = markdown.partition(f"## {NOTEBOOK}\n")
    _check_names(walk, numbers)
    parts = sections(walk)
    heading, _, about = parts.pop("").removeprefix("# ").partition("\n")
    mistakes, checks = (_entries(parts.pop(name), numbers) for name in (MISTAKES, CHECKS))
    steps: list[Step] = []
    shown: set[str] = set()  # titles of the matrices of earlier steps
    for title, body in parts.items():
        text = fields(body, numbers)
        equation = numbers.equation(text["Matrices"])
        matrices = [m for m in equation if isinstance(m, Matrix) and not m.is_view and m.title not in shown]
        shown.update(matrix.title for matrix in matrices)
        code = [functions[name] for name in text.get("Code", "").replace(",", " ").split()]
        change = None
        if text.get("Set"):
            option, _, value = text["Set"].partition("=")
            name, *cell = re.findall(r"[^\[\]]+", text["Watch"])
            at = (numbers[name].title, *numbers[name].indices(*cell))
            change = Change(option, value, text["Change"], at, text["Because"])
        words = (fill_values(title, numbers), text["Question"], text["Text"], text["Formula"].replace("; ", "    "))
        steps.append(Step(*words, code, equation, matrices, text["Notice"], change))
    question, about = (fill_values(text, numbers) for text in (heading, " ".join(about.split())))
    return WalkResult(question, steps, mistakes, checks, about, numbers)


def _entries(body: str, numbers: Numbers) -> list[Entry]:
    """Returns the `### ` headings of a section with their texts."""
    entries = sections(body, level=3)
    entries.pop("")
    return [(fill_values(title, numbers), fields(text, numbers)["Text"]) for title, text in entries.items()]


def _check_names(markdown: str, numbers: Numbers) -> None:
    unwrapped = re.sub(r"\n(?=\S)", " ", markdown)  # a line break may be inside a name
    names = {field.partition("[")[0] for _, field, _, _ in Formatter().parse(unwrapped) if field}
    names |= set(re.findall(r"^(?:If|Unless) (\w+): ", markdown, flags=re.M))
    names |= set(re.findall(r"^Watch: ([^\[]+)", markdown, flags=re.M))
    for equation in re.findall(r"^Matrices: (.*)", markdown, flags=re.M):
        names |= {name for name, _, _ in REFERENCE.findall(equation)}
    if wrong := names ^ set(numbers):
        missing, unused = sorted(wrong - set(numbers)), sorted(wrong - names)
        raise ValueError(f"the walk does not compute {missing}, which its text names; the text does not use {unused}")
