"""What can go wrong in ways we foresee. The commands turn each into its lines and its exit code."""


class UserError(ValueError):
    """The user's mistake, or a corpus that cannot be had: one line, what was given, what is allowed, what to do."""


class RunFailed(RuntimeError):
    """A run that went wrong in a way we foresee: a few lines, with what to try."""
