"""The exit code and the message of every expected error, for the command line and for Python."""

import sys
from collections.abc import Sequence

from headscope import shell
from headscope.config.messages import explain
from headscope.errors import Interrupted, JobsFailed
from headscope.run.processes import DIED, a_rank_died

TOO_LARGE = (
    "lower batch_size and raise trainer.accumulate_grad_batches by the same factor,\nor lower model.block_size or"
    " model.d_model"
)


def outcome(error: BaseException, script: str | None = None, typed: Sequence[str] | None = None) -> shell.Outcome:
    """Returns the exit code and the message of an expected error; None for any other error.

    0 done; 2 a mistake of the user's, in one line; 3 an expected failure of the run; 1 a sweep with failed jobs; 129,
    130 and 143 stopped by a signal, with the work so far saved. See `explain` for the arguments.
    """
    match error:
        case JobsFailed():
            return 1, str(error)
        case Interrupted():
            return 128 + error.signum, str(error)
        case MemoryError():
            return 3, f"out of memory: {TOO_LARGE}, or use trainer.precision=bf16-mixed"
    if message := explain(error, script, typed):
        return 2, message
    return shell.foreseen(error) or (_of_torch(error) if isinstance(error, RuntimeError) else None)


def _of_torch(error: RuntimeError) -> shell.Outcome:
    """Recognises errors by their types; the CPU's allocator raises a bare RuntimeError, which gets its traceback."""
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    if isinstance(error, torch.OutOfMemoryError):
        return 3, f"out of memory on the GPU: {TOO_LARGE}"
    # A lost rank is a DistError with NCCL and a bare RuntimeError with gloo.
    lost = torch.distributed.is_available() and isinstance(error, torch.distributed.DistError)
    return (3, DIED) if lost or a_rank_died() else None
