"""What a checkpoint records about its run: checks the entries that commands read."""

from collections.abc import Sequence
from itertools import chain
from typing import Annotated, Any

from annotated_types import Ge

from headscope.checkpoint.source import UNNAMED, UnsupportedModel, checked
from headscope.shell import printable

MAX_PASSAGES = 1000  #: a run keeps 5
MAX_PASSAGE = 4096  #: in tokens; a run keeps at most 129
MAX_NAME = 200  #: in characters


def checked_about(saved: Any, vocab_size: int) -> dict[str, Any]:
    """Returns the record with a name for the run and its data, without control characters; other entries unchanged.

    Raises UnsupportedModel if an entry has a wrong type, or if a passage is not a list of ids below `vocab_size`.
    """
    about: dict[str, Any] = checked(saved, dict[str, Any], "about")
    data = checked(about.get("data", {}), dict[str, Any], "about.data")
    if "step" in about:
        checked(about["step"], Annotated[int, Ge(0)], "about.step")
    if passages := about.get("passages"):
        _check_passages(passages, vocab_size)
    name = checked(about.get("name", "a run without a name"), str, "about.name")
    data_name = checked(data.get("name", UNNAMED), str, "about.data.name")
    return about | {"name": printable(name[:MAX_NAME]), "data": data | {"name": printable(data_name[:MAX_NAME])}}


def _check_passages(passages: Any, vocab_size: int) -> None:
    checked(passages, Sequence[Sequence[int]], "about.passages")
    if len(passages) > MAX_PASSAGES or not all(0 < len(passage) <= MAX_PASSAGE for passage in passages):
        raise UnsupportedModel(
            f"about.passages must be at most {MAX_PASSAGES} texts of 1 to {MAX_PASSAGE} tokens, not {len(passages)}"
        )
    if len({len(passage) for passage in passages}) > 1:
        raise UnsupportedModel("about.passages has texts of different lengths; all must have the same length")
    for i in chain.from_iterable(passages):
        if not 0 <= i < vocab_size:
            raise UnsupportedModel(f"about.passages has the id {i}, but the vocabulary has {vocab_size:,} tokens")
