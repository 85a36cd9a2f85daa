"""The type of an error, not its text, decides the message."""

import errno

import pytest
import torch
from hydra.errors import HydraException

from headscope.errors import Interrupted, JobsFailed, RunFailed, UserError
from headscope.run.processes import outcome


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (UserError("x"), 2, "x"),
        (HydraException("something odd"), 2, "something odd"),
        (RunFailed("x"), 3, "x"),
        (JobsFailed(2, {"a": "b"}), 1, "1 of 2 jobs did not complete\n  a: b"),
        (Interrupted(15, "saved"), 143, "stopped by SIGTERM; saved"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (OSError(errno.ENOSPC, "full", "f"), 3, "the disk is full: f was not written"),
        (OSError(errno.EACCES, "denied", "f"), 2, "f cannot be used: denied"),
        (MemoryError(), 3, "lower batch_size"),
        (torch.OutOfMemoryError("CUDA out of memory"), 3, "lower batch_size"),
        (torch.distributed.DistBackendError("NCCL"), 3, "another process of this run died"),
        (RuntimeError("[/gloo/transport/tcp/pair.cc:5] Connection closed"), 3, "another process of this run died"),
    ],
    ids=lambda x: type(x).__name__,
)
def test_what_we_foresee_has_a_code_and_a_message(error, code, words):
    found = outcome(error)
    assert found[0] == code
    assert words in found[1]


@pytest.mark.parametrize("words", ["NCCL is not built in", "gloo has no such option", "closed by peer"])
def test_words_alone_make_no_dead_process(words):
    assert outcome(RuntimeError(words)) is None
    assert outcome(ValueError(words)) is None
