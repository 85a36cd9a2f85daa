"""The described heads of a run: their summed cost, what explains it, and their confirmed roles.

A run that is long enough describes its heads at its end (`headscope.heads.descriptions`).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

Head = Mapping[str, Any]  #: an entry of `heads` in a run's summary

RULES = {"readable": "parts", "full": "parts_full"}  #: the two rules of a head, with the keys of their shares


def described(summary: Mapping[str, Any]) -> list[Head]:
    """Returns the heads in a run's summary, or an empty list if they are not described."""
    return [head for head in summary.get("heads") or () if "sentence" in head]


def contributions(heads: Sequence[Head]) -> dict[str, Any]:
    """Returns the summed cost of a run's heads in nats, and the share of it that each kind of term explains, by rule.

    Only heads whose cost is above the noise count; without such a head, there are no shares. The shares are weighted by
    cost. With `unexplained`, the shares of each rule sum to one. The result is empty if no head is described.
    """
    clear = [head for head in heads if head["recovered"] is not None]
    cost = sum(head["cost"] for head in clear)
    found: dict[str, Any] = {"cost": cost} if heads else {}
    for rule, parts in RULES.items() if clear else ():
        shares = {kind: sum(head["cost"] * head[parts][kind] for head in clear) / cost for kind in clear[0][parts]}
        found[rule] = shares | {"unexplained": 1 - sum(shares.values())}
    return found


def confirmed_roles(heads: Sequence[Head]) -> Counter[str]:
    """Returns the number of heads with each confirmed role."""
    return Counter(head["role"] for head in heads if head["confirmed"])
