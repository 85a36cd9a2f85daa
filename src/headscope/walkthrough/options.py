"""`--set name=value`: the options of a walk, checked against the annotations of its `tell`; and what they change."""

import difflib
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from headscope.config.schema import must_be
from headscope.errors import UserError
from headscope.walkthrough.step import Answered, Change, Walk, WalkResult


def read(walk: Walk, given: Sequence[str]) -> dict[str, Any]:
    """Values of options by name; the last counts.

    Args:
        walk: whose options they are.
        given: `name=value` each.

    Raises:
        UserError: one that the walk does not have, or a value that it cannot take.
    """
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--set {text}: a name and a value are needed, such as {_example(walk)}")
        found[name] = _value(walk, name, value)
    return found


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


def shown(value: Any) -> str:
    """A value as one types it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def listed(walk: Walk) -> str:
    """All options with their defaults, to be read."""
    return " ".join(f"{name}={shown(p.default) or '…'}" for name, p in walk.options.items())


def _example(walk: Walk) -> str:
    name, parameter = next(iter(walk.options.items()))
    return f"{name}={shown(parameter.default) or '…'}"


def answered(
    walk: Walk, told: WalkResult, arguments: Mapping[str, Any], sets: Sequence[str], others: Sequence[str]
) -> list[Answered | None]:
    """For each step its change, tried: the walk is run once more with it.

    A change to what is set already goes back to the default.

    Args:
        walk: that was run.
        told: what it told.
        arguments: that `tell` was called with.
        sets: the command line's `name=value`.
        others: its other words that `tell` depends on.
    """
    changes = [step.change for step in told.steps]
    return [_try(walk, told, change, arguments, sets, others) if change else None for change in changes]


def _try(
    walk: Walk,
    told: WalkResult,
    change: Change,
    arguments: Mapping[str, Any],
    sets: Sequence[str],
    others: Sequence[str],
) -> Answered:
    default = walk.options[change.option].default
    value, ask = _value(walk, change.option, change.value), change.ask
    if arguments.get(change.option, default) == value:
        value, ask = default, "What if it is as it was at first?"
    after = walk.tell(**{**arguments, change.option: value})
    kept = [text for text in sets if not text.startswith(f"{change.option}=")]
    words = [word for text in (f"{change.option}={shown(value)}", *kept) for word in ("--set", text)]
    command = f"python -m headscope.walkthrough {' '.join(map(_quoted, [walk.name, *words, *others]))}"
    before, then = told.at(change.at), after.at(change.at)
    moved = f"stays {then}" if then == before else f"goes from {before} to {then}"
    return Answered(command, ask, f"{told.name(change.at)}: {moved}. {change.because}")


def _quoted(word: str) -> str:
    """A word for a shell; what has no picture is escaped, so that a terminal does not obey it."""
    if word.isprintable():
        return shlex.quote(word)
    escaped = word.encode("unicode_escape").decode().replace("'", r"\'")
    return f"$'{escaped}'"
