"""A model as plain tensors and numbers, for programs that run it without this code, such as the page of `show=page`."""

from headscope.portable.description import NotPortable, describe, random_ids, refusal

__all__ = ["NotPortable", "describe", "random_ids", "refusal"]
