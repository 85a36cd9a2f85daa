"""A walk: Python code computes the numbers of a small system, and `texts/NAME.md` explains them."""

import difflib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError

from headscope.annotations import must_be
from headscope.errors import UserError
from headscope.installed import command
from headscope.shell import printable, shell_command
from headscope.walkthrough import texts
from headscope.walkthrough.matrix import Numbers
from headscope.walkthrough.texts import Change, TriedChange, WalkResult


@dataclass(frozen=True)
class Walk:
    """A step-by-step explanation of a small system, with options that change its numbers."""

    name: str  #: the name on the command line
    summary: str  #: one line
    seed: int | None  #: the default seed; None if nothing is random
    #: Takes a seed and keyword-only options. The value of each option is checked against its annotation.
    compute: Callable[..., Numbers]

    @torch.no_grad()
    def run(self, seed: int | None, **arguments: Any) -> WalkResult:
        """Computes the numbers and inserts them into the text; raises `UserError` for an invalid option."""
        module, numbers = vars(sys.modules[self.compute.__module__]), self.compute(seed, **arguments)
        return replace(texts.fill(self.markdown, module, numbers), arguments={"seed": seed} | arguments)

    @property
    def markdown(self) -> str:
        file = f"{self.name.replace('-', '_')}.md"
        return (resources.files(__package__) / "texts" / file).read_text(encoding="utf-8")

    @property
    def options(self) -> Mapping[str, inspect.Parameter]:
        return {name: p for name, p in inspect.signature(self.compute).parameters.items() if p.kind is p.KEYWORD_ONLY}

    @property
    def file(self) -> str:
        """The name of the walk's page; `model.html` is reserved for a page that contains a model."""
        return f"{self.name}-walk.html" if "checkpoint" in self.options else f"{self.name}.html"

    @property
    def defaults(self) -> list[str]:
        """`name=default` for each option."""
        return [f"{name}={_as_typed(p.default) or '…'}" for name, p in self.options.items()]

    def read(self, given: Sequence[str]) -> dict[str, Any]:
        """Parses options of the form `name=value`; raises `UserError` for an unknown name or an invalid value."""
        values = {}
        for option in given:
            name, equals, text = option.partition("=")
            if not equals:
                raise UserError(f"--set {option} needs a name and a value, such as {self.defaults[0]}")
            if name not in self.options:
                near = difflib.get_close_matches(name, self.options, n=1)
                meant = f"did you mean {near[0]}?" if near else f"its options are {', '.join(self.options)}"
                raise UserError(f"--set {name}: {self.name} has no such option; {meant}")
            try:
                values[name] = TypeAdapter(self.options[name].annotation).validate_python(text)
            except ValidationError as e:
                allowed = must_be(e.errors()[0]).partition(", unable")[0]
                raise UserError(f"--set {name}={' '.join(text.split())} must be {allowed}") from None
        return values

    def try_changes(self, result: WalkResult, typed: Sequence[tuple[str, str]] = ()) -> WalkResult:
        """Runs the walk again with the suggested change of each step, and adds the changes to the result.

        `typed` contains the flags from the command line. An option that already has the suggested value is reset to its
        default.
        """
        return replace(result, changes=[step.change and self._try(result, step.change, typed) for step in result.steps])

    def _try(self, result: WalkResult, change: Change, typed: Sequence[tuple[str, str]]) -> TriedChange | None:
        option, ask, default = change.option, change.ask, self.options[change.option].default
        value = self.read([f"{option}={change.value}"])[option]
        if result.arguments.get(option, default) == value:
            value, ask = default, f"What if {option} is reset to its default?"
        try:
            changed = self.run(**{**result.arguments, option: value})
        except UserError:  # the suggested value conflicts with another option
            return None
        title, i, j = change.at
        old, new = (next(m for m in found.matrices if m.title == title) for found in (result, changed))
        before, after = old.cells[i][j], new.cells[i][j]
        column = old.header[j] if old.columns else f"channel {j}"
        effect = f"stays {after}" if after == before else f"goes from {before} to {after}"
        kept = [(flag, text) for flag, text in typed if flag != "--set" or not text.startswith(f"{option}=")]
        words = [word for pair in (("--set", f"{option}={_as_typed(value)}"), *kept) for word in pair]
        answer = f"{title}, row “{old.rows[i]}”, column “{column}”: {effect}. {change.because}"
        typed_command = f"{command('walk')} {printable(shell_command([self.name, *words]))}"
        return TriedChange(typed_command, ask, answer)


def _as_typed(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
