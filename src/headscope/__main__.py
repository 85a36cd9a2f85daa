"""The installed command: `headscope train …`, and the same for generate, report, walk and export."""

import difflib
import os
import runpy
import sys

from headscope import __version__, shell
from headscope.errors import UserError
from headscope.installed import COMMANDS, SCRIPTS, TYPED

HELP = """\
Trains small attention language models, and shows what every head does.

  headscope train      a run; with -m or sweep=NAME many runs; resume=DIR resumes either
  headscope generate   writes with a trained model, or shows what its heads do
  headscope report     the report of many runs
  headscope walk       a small system, step by step
  headscope export     a model in a format that other programs read

headscope COMMAND --help explains each. Runs go to outputs/ and texts to data/, in the current folder."""


def main() -> None:
    """Runs the given command. `sys.argv[0]` is set to the script, because a sweep starts its jobs with it."""
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
        meant = f"did you mean headscope {near[0]}?" if near else "headscope --help lists them"
        raise UserError(f"there is no command {name!r}, only {', '.join(COMMANDS)}; {meant}")


if __name__ == "__main__":
    main()
