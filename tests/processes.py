"""Commands of the project as processes that need not import torch: copies of one process that has.

Most of what a short command takes is that import. `multiprocessing`'s fork server imports it once, and every command is
a fork of it: its own process, folder, environment, streams and exit code, started as `python` would. What the
interpreter or a library reads when it starts cannot be changed any more, so such a command gets a new interpreter.
"""

import atexit
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

AT_START = ("PYTHON", "LC_", "LANG", "OMP_", "GOMP_", "MKL_", "TORCH")  #: names of variables that are read only then
forks = multiprocessing.get_context("forkserver") if sys.platform == "linux" else None
if forks:
    forks.set_forkserver_preload(["tests.preloaded"])


def can_fork(command, env):
    """Whether a command, of a script or `-m MODULE` and arguments, can be a fork with these variables added."""
    script = command[0] == "-m" or str(command[0]).endswith(".py")
    return forks is not None and script and not any(name.startswith(AT_START) for name in env)


def fork(command, cwd, env, timeout):
    """Runs it with the environment `env` and an empty input; returns what `subprocess.run` would."""
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
    """What the fork does: it becomes `python *command`."""
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
        atexit._run_exitfuncs()  # multiprocessing's own end skips them
