"""The installed command `headscope`, with the subcommands train, generate, report, walk and export."""

import difflib
import os
import runpy
import sys

from headscope import __version__, shell
from headscope.errors import UserError
from headscope.installed import COMMANDS, SCRIPTS, TYPED

HELP = """\
Trains small attention language models, and shows what every head does.

  headscope train      trains one run, or several with -m or sweep=NAME; resume=DIR resumes a run or a sweep
  headscope generate   generates text with a trained model, or shows what its heads do
  headscope report     writes a report that compares several runs
  headscope walk       explains a small model step by step
  headscope export     saves a model in a format that other programs can read

headscope COMMAND --help explains each command. Runs are saved in outputs/ and texts in data/, in the current folder."""


def main() -> None:
    """Runs a subcommand. Sets `sys.argv[0]` to its script, with which a sweep starts its jobs."""
    name, rest = (sys.argv[1:2] or ["--help"])[0], sys.argv[2:]
    if name not in COMMANDS:
        shell.run(lambda: _answer(name))
    os.environ[TYPED] = "1"
    if name in ("train", "generate"):
        sys.argv = [str(SCRIPTS / COMMANDS[name]), *rest]
        runpy.run_path(sys.argv[0], run_name="__main__")
    else:
        sys.argv = [f"headscope {name}", *rest]
        runpy.run_module(COMMANDS[name].removeprefix("-m "), run_name="__main__", alter_sys=True)


def _answer(name: str) -> None:
    if name in ("-h", "--help", "help"):
        print(HELP)
    elif name == "--version":
        print(f"headscope {__version__}")
    else:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        meant = f"did you mean headscope {near[0]}?" if near else "headscope --help explains them"
        raise UserError(f"there is no command {name!r}, only {', '.join(COMMANDS)}; {meant}")


if __name__ == "__main__":
    main()
