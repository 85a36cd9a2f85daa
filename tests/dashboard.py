"""A TensorBoard of one's own, for tests and pictures."""

import json
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager


def fetch(address, path, body=None):
    """What TensorBoard answers, read as JSON."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(address + path, body and json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.loads(response.read())


@contextmanager
def tensorboard(folder, runs):
    """The address of a TensorBoard over a folder, once it has read so many runs; it ends with the block."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(60):
            time.sleep(1)
            try:
                if len(fetch(address, "/data/runs")) >= runs:
                    break
            except OSError:  # it does not listen yet
                continue
        else:
            raise TimeoutError(f"TensorBoard did not find {runs} runs in {folder} within a minute")
        yield address
    finally:
        process.terminate()
        process.wait()
