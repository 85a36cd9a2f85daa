"""Recognises base classes, which a `_target_` cannot name."""

import inspect


def not_implemented(cls: type) -> str | None:
    """Returns the name of a method that is abstract or only raises `NotImplementedError`; None if there is none."""
    if getattr(cls.__init__, "__module__", "").startswith("torch.nn."):  # type: ignore[misc]
        return "__init__"
    for name in dir(cls):
        method = inspect.getattr_static(cls, name)
        raises = getattr(getattr(method, "__code__", None), "co_names", ())[:1] == ("NotImplementedError",)
        if getattr(method, "__isabstractmethod__", False) or (raises and method.__name__ == name):
            return name
    return None
