"""`python -m headscope.report DIR`: writes the report of a sweep into its folder."""

import sys
from pathlib import Path

from headscope.errors import Parser, RunFailed, UserError
from headscope.report.writing import write_report


def main() -> int:
    """Returns the exit code: 0; 2 for a mistake of the user, in one line; 1 for a full disk."""
    parser = Parser("python -m headscope.report", description="Writes the report of a sweep.")
    parser.add_argument("folder", type=Path, help="the folder that train.py -m named")
    try:
        print(write_report(parser.parse_args().folder))
    except (UserError, RunFailed) as e:
        print(f"error: {e}", file=sys.stderr)
        return 2 if isinstance(e, UserError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
