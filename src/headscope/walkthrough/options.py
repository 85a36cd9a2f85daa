"""Options of a walk: `--set name=value`, checked against the annotations of its `compute`, and suggested changes."""

import difflib
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from headscope.config.schema import must_be
from headscope.errors import UserError
from headscope.installed import command
from headscope.walkthrough.step import Change, WalkResult
from headscope.walkthrough.walk import Walk


class TriedChange(NamedTuple):
    """A suggested change after the walk ran with it."""

    command: str
    ask: str
    answer: str  #: the number before and after, and why


def read(walk: Walk, given: Sequence[str]) -> dict[str, Any]:
    """Values by name from texts `name=value`; raises `UserError` for a wrong name or value."""
    for text in given:
        if "=" not in text:
            raise UserError(f"--set {text}: a name and a value are needed, such as {defaults(walk)[0]}")
    return {name: _value(walk, name, value) for name, _, value in (text.partition("=") for text in given)}


def _value(walk: Walk, name: str, text: str) -> Any:
    if name not in walk.options:
        near = difflib.get_close_matches(name, walk.options, n=1)
        meant = f"did you mean {near[0]}?" if near else f"it has {', '.join(walk.options)}"
        raise UserError(f"--set {name}: {walk.name} has no such option; {meant}")
    try:
        return TypeAdapter(walk.options[name].annotation).validate_python(text)
    except ValidationError as e:
        allowed = must_be(e.errors()[0]).partition(", unable")[0]
        raise UserError(f"--set {name}={' '.join(text.split())} must be {allowed}") from None


def as_typed(value: Any) -> str:
    """A value as one types it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def defaults(walk: Walk) -> list[str]:
    """`name=default` for each option."""
    return [f"{name}={as_typed(p.default) or '…'}" for name, p in walk.options.items()]


def try_changes(
    walk: Walk, result: WalkResult, arguments: Mapping[str, Any], typed: Sequence[tuple[str, str]]
) -> list[TriedChange | None]:
    """Runs the walk again with the suggested change of each step.

    `arguments` and `typed` are the arguments of the run with this result, as values and as typed flags. If an option
    has the suggested value already, it goes back to its default.
    """
    return [_try(walk, result, step.change, arguments, typed) if step.change else None for step in result.steps]


def _try(
    walk: Walk, result: WalkResult, change: Change, arguments: Mapping[str, Any], typed: Sequence[tuple[str, str]]
) -> TriedChange | None:
    default = walk.options[change.option].default
    value, ask = _value(walk, change.option, change.value), change.ask
    if arguments.get(change.option, default) == value:
        value, ask = default, "What if the option has its default value again?"
    try:
        after = walk.run(**{**arguments, change.option: value})
    except UserError:  # it does not fit the other options
        return None
    title, i, j = change.at
    old, new = (next(m for m in found.matrices if m.title == title) for found in (result, after))
    before, then = old.cells[i][j], new.cells[i][j]
    column = old.header[j] if old.columns else f"channel {j}"
    moved = f"stays {then}" if then == before else f"goes from {before} to {then}"
    kept = [(flag, text) for flag, text in typed if flag != "--set" or not text.startswith(f"{change.option}=")]
    words = [_quoted(word) for pair in (("--set", f"{change.option}={as_typed(value)}"), *kept) for word in pair]
    answer = f"{title}, row “{old.rows[i]}”, column “{column}”: {moved}. {change.because}"
    return TriedChange(" ".join([command("walk"), walk.name, *words]), ask, answer)


def _quoted(word: str) -> str:
    """A word for a shell; unprintable characters are escaped, so that the terminal does not obey them."""
    if word.isprintable():
        return shlex.quote(word)
    escaped = word.encode("unicode_escape").decode().replace("'", r"\'")
    return f"$'{escaped}'"
