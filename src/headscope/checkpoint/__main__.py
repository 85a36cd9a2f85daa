"""Export: `python -m headscope.checkpoint CHECKPOINT OUT --format part4|safetensors`."""

import sys
from pathlib import Path

from headscope.checkpoint.export import export
from headscope.errors import Parser, UserError
from headscope.files import write_atomically


def main() -> int:
    """Returns the exit code: 0, or 2 with one line."""
    parser = Parser(prog="python -m headscope.checkpoint", description="Exports a run's model.")
    parser.add_argument("checkpoint", help="a *.ckpt in a run's folder")
    parser.add_argument("out", type=Path, help="the file to write")
    parser.add_argument("--format", choices=("part4", "safetensors"), default="safetensors")
    try:
        arguments = parser.parse_args()
        if arguments.out.exists():
            raise UserError(f"{arguments.out} exists and was left as it is; choose another name")
        content = export(arguments.checkpoint, arguments.format)
        write_atomically(arguments.out, content)
    except UserError as e:
        print(f"error: {e}", file=sys.stderr)
        return 2
    print(f"{arguments.out}: {len(content):,} bytes, {arguments.format}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
