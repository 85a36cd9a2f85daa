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
    """A suggestion to change an option, and the number to watch."""

    option: str
    value: str  #: as typed; it differs from the option's default
    ask: str  #: the question, such as "What if nothing is hidden?"
    at: tuple[str, int, int]  #: the number to watch: the title of a matrix, a row and a column
    because: str  #: why the number changes, true in both directions


class TriedChange(NamedTuple):
    """A suggested change after the walk ran with it."""

    command: str
    ask: str
    answer: str  #: the number before and after, and why


@dataclass(frozen=True)
class Step:
    """One step of a walk."""

    title: str
    question: str
    text: str
    formula: str  #: in the symbols of the matrices; four spaces separate formulas
    code: Sequence[Callable[..., Any]]  #: functions of a few lines that the walk ran
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
    """The source of a function, without its docstring and comments for the type checker."""
    return re.sub(r' *""".*"""\n|  # type: ignore.*', "", inspect.getsource(function).strip())


@dataclass(frozen=True)
class WalkResult:
    """A walk after it ran."""

    question: str  #: of the whole walk
    steps: Sequence[Step]
    mistakes: Sequence[Entry]  #: common mistakes, and their consequences in numbers
    checks: Sequence[Entry]  #: three questions with their answers
    about: str  #: which model was walked through, if any
    numbers: Numbers
    arguments: Mapping[str, Any] = field(default_factory=dict)  #: of the run: the seed and options
    changes: Sequence[TriedChange | None] = ()  #: of the steps, if they were tried

    @property
    def matrices(self) -> list[Matrix]:
        return [matrix for step in self.steps for matrix in step.matrices]


class _Filler(Formatter):
    """Fills named values and cells of matrices into a text."""

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        name, *place = re.findall(r"[^\[\]]+", field_name)
        return kwargs[name].cell(*place) if place else kwargs[name], name

    def format_field(self, value: Any, format_spec: str) -> str:
        value = value.item() if isinstance(value, Tensor) else value
        return format(value, format_spec) if isinstance(value, str) or format_spec else format_number(value)


def fill_values(text: str, numbers: Numbers) -> str:
    return _Filler().vformat(text, (), numbers)


def sections(markdown: str, level: int = 2) -> dict[str, str]:
    """The sections below the headings of a level, by heading; the text before the first heading has an empty one."""
    before, *rest = re.split(rf"^{'#' * level} ", markdown, flags=re.M)
    return {"": before} | {title.strip(): body for title, _, body in (part.partition("\n") for part in rest)}


def fields(body: str, numbers: Numbers) -> dict[str, str]:
    """The filled paragraphs of a section by label; those without a label are `Text`."""
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
    """Fills numbers and functions into a text that names them; raises `ValueError` for a missing or unused number."""
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
            name, *place = re.findall(r"[^\[\]]+", text["Watch"])
            at = (numbers[name].title, *numbers[name].place(*place))
            change = Change(option, value, text["Change"], at, text["Because"])
        words = (fill_values(title, numbers), text["Question"], text["Text"], text["Formula"].replace("; ", "    "))
        steps.append(Step(*words, code, equation, matrices, text["Notice"], change))
    question, about = (fill_values(text, numbers) for text in (heading, " ".join(about.split())))
    return WalkResult(question, steps, mistakes, checks, about, numbers)


def _entries(body: str, numbers: Numbers) -> list[Entry]:
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
