"""`python -m headscope.report DIR`: writes the report of a sweep into its folder."""

from pathlib import Path

from headscope.installed import command
from headscope.report.writing import write_report
from headscope.shell import Parser, run


def main() -> None:
    """Writes the report and prints its summary."""
    parser = Parser(prog=command("report"), description="Writes the report of a sweep.")
    parser.add_argument("folder", type=Path, help="the sweep's folder (hydra.sweep.dir)")
    print(write_report(parser.parse_args().folder))


if __name__ == "__main__":
    run(main)
