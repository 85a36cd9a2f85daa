"""The values of an override that has several, such as `seed=1,2` or `model.n_layers=range(2, 7, 2)`."""

from itertools import islice
from typing import Any

from hydra.core.override_parser.types import Override, QuotedString, RangeSweep, Transformer

from headscope.errors import UserError

MAX_VALUES = 100_000  #: maximum number of values of one key


def distinct_values(override: Override) -> list[str]:
    """Returns the values of a choice, a range or a glob as text, each once.

    Two spellings of one value, such as `1e-3` and `0.001`, count once. Raises `UserError` if there is no value, if
    there are too many, if a tag would have no effect, or if Hydra would compute other values.
    """
    typed = str(override.input_line)
    if getattr(override.value(), "tags", ()):
        raise UserError(f"{typed}: a tag has an effect only on an interval or a range of sweep=search")
    if isinstance(override.value(), RangeSweep) and "sort(" in typed:  # findings/hydra_sorted_range.sh
        raise UserError(
            f"{typed} would have other values, because Hydra sorts ranges wrongly; write the values in order"
        )
    found: dict[Any, str] = {}
    try:
        pairs: Any = override.sweep_iterator(transformer=lambda value: (value, Transformer.str(value)))
        for value, text in islice(pairs, MAX_VALUES + 1):
            found.setdefault(_identity(value, text), text)
    except ValueError as e:  # a range whose step is 0, or a range inside a choice
        raise UserError(f"{typed} cannot be swept over; use values, or one range whose step is not 0") from e
    if not found:
        raise UserError(f"{typed} has no values to sweep over; add at least one")
    if len(found) > MAX_VALUES:
        raise UserError(f"{typed} has more than {MAX_VALUES:,} values; use fewer")
    return [*found.values()]


def _identity(value: Any, text: str) -> Any:
    """Returns an object that is equal for two spellings of one value; `true` differs from 1, and text from numbers."""
    value = value.text if isinstance(value, QuotedString) else value
    is_comparable = isinstance(value, str | int | float) and value == value  # nan differs from itself
    return type(value) is bool, value if is_comparable else ("", text)
