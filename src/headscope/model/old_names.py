"""Hooks that were renamed stay reachable, and can be overridden, under both names."""

from collections.abc import Mapping


def accept_old_names(cls: type, names: Mapping[str, str]) -> None:
    """Gives a class both names of a hook, whichever of the two it defines.

    To be called from `__init_subclass__`: a subclass that overrides the old name then overrides the hook itself, and
    `super()` works under both names.

    Args:
        cls: the new subclass.
        names: new name by old name.
    """
    for old, new in names.items():
        # The first class in the method resolution order that defines one of the names has the current definition.
        own = next(vars(c) for c in cls.__mro__ if old in vars(c) or new in vars(c))
        if new not in own:
            setattr(cls, new, own[old])
        elif old not in own:
            setattr(cls, old, own[new])
