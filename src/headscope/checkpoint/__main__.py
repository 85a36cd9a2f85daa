"""Exports a run's model: `python -m headscope.checkpoint CHECKPOINT OUT --format part4|safetensors|hf`."""

from pathlib import Path

from headscope.checkpoint.export import export, export_folder
from headscope.errors import UserError
from headscope.files import write_atomically
from headscope.installed import command
from headscope.shell import Parser, run


def main() -> None:
    """Writes the file or the folder; raises UserError if it exists, or if the checkpoint cannot be exported."""
    parser = Parser(prog=command("export"), description="Exports a run's model.")
    parser.add_argument("checkpoint", help="a *.ckpt file from a run's folder")
    parser.add_argument("out", type=Path, help="the file to write; with --format hf, a folder for transformers")
    parser.add_argument("--format", choices=("part4", "safetensors", "hf"), default="safetensors")
    arguments = parser.parse_args()
    if arguments.out.exists():
        raise UserError(f"{arguments.out} exists and was not changed; choose another name")
    if arguments.format == "hf":
        report = export_folder(arguments.checkpoint, arguments.out)
    else:
        content = export(arguments.checkpoint, arguments.format)
        write_atomically(arguments.out, content)
        report = f"{len(content):,} bytes, {arguments.format}"
    print(f"{arguments.out}: {report}")


if __name__ == "__main__":
    run(main)
