"""The machine's load decides once how OpenMP's threads wait, unless the user has set this."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from headscope import waiting


@pytest.fixture
def undecided(monkeypatch):
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(waiting, "_decided", False)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)


@pytest.mark.parametrize(
    ("computing", "spin"),
    [((1,), waiting.SPIN), ((3,), waiting.SPIN), ((4,), waiting.SLEEP), ((9, 2, 9, 9, 9), waiting.SPIN)],
    ids=["alone", "two cores left", "one core left", "others run for a moment"],
)
def test_threads_spin_where_cores_are_free(undecided, monkeypatch, computing, spin):
    looks = iter(computing * 5)
    monkeypatch.setattr(waiting, "_active_threads", lambda: next(looks))
    waiting.decide()
    assert os.environ["GOMP_SPINCOUNT"] == spin
    assert waiting.variables_for_shared_cores() == {"GOMP_SPINCOUNT": waiting.SLEEP}  # for jobs that share the cores


@pytest.mark.parametrize("name", ["GOMP_SPINCOUNT", "OMP_WAIT_POLICY"])
def test_what_the_user_set_wins(undecided, monkeypatch, name):
    monkeypatch.setenv(name, "7")
    waiting.decide()
    assert {k: os.environ.get(k) for k in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}[name] == "7"
    assert waiting.variables_for_shared_cores() == {}


@pytest.mark.skipif(not Path("/proc/loadavg").exists(), reason="only Linux counts what computes")
def test_a_busy_machine_is_seen():
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        assert not waiting.cores_are_free(samples=20)
    finally:
        for other in others:
            other.kill()
            other.wait()


def test_a_machine_that_does_not_count_is_taken_as_free(monkeypatch):
    monkeypatch.setattr(waiting.Path, "read_text", lambda *_: "nonsense")
    assert waiting._active_threads() == 1


@pytest.mark.parametrize("given", [None, "7"])
def test_the_first_use_from_python_decides(given):
    code = "import os, headscope; headscope.load; print(os.environ['GOMP_SPINCOUNT'])"
    environment = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    environment |= {"GOMP_SPINCOUNT": given} if given else {}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() in ([given] if given else [waiting.SPIN, waiting.SLEEP])
