"""What every test of a walk wants."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _one_thread():
    """As the command has it; what other tests see stays as it was."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
