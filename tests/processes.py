"""Runs the project's commands as forks of one process that has already imported torch.

A short command spends most of its time on this import. `multiprocessing`'s fork server imports torch once, and every
command is a fork of the server, with its own process, folder, environment, streams and exit code. Variables that the
interpreter or a library reads at its start have no effect in a fork, so commands with such variables get a new
interpreter.
"""

import atexit
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

#: The beginnings of the names of variables that are read only at the start of a process.
AT_START = ("PYTHON", "LC_", "LANG", "OMP_", "GOMP_", "MKL_", "TORCH")
forks = multiprocessing.get_context("forkserver") if sys.platform == "linux" else None
if forks:
    forks.set_forkserver_preload(["tests.preloaded"])


def can_fork(command, env):
    """Whether a command, given as words, is a script or `-m MODULE` and can be a fork with these added variables."""
    script = command[0] == "-m" or str(command[0]).endswith(".py")
    return forks is not None and script and not any(name.startswith(AT_START) for name in env)


def fork(command, cwd, env, timeout):
    """Runs a command in a fork, with the environment `env` and an empty input; returns what `subprocess.run` would."""
    command = [str(word) for word in command]
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        process = forks.Process(target=_run, args=(command, str(cwd), env, str(out), str(err)))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(command, timeout)
        texts = [file.read_text("utf-8", errors="replace") if file.exists() else "" for file in (out, err)]
    return subprocess.CompletedProcess(command, process.exitcode, *texts)


def _run(command, cwd, env, out, err):
    """Runs in the fork: does what `python *command` would do."""
    for stream, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    try:
        if command[0] == "-m":
            sys.path.insert(0, cwd)
            sys.argv = command[1:]
            runpy.run_module(command[1], run_name="__main__", alter_sys=True)
        else:
            sys.path.insert(0, str(Path(command[0]).resolve().parent))
            sys.argv = command
            runpy.run_path(command[0], run_name="__main__")
    finally:
        atexit._run_exitfuncs()  # multiprocessing ends a process without these functions
