"""Starts a separate TensorBoard for tests and pictures."""

import json
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager


def fetch(address, path, body=None):
    """Returns TensorBoard's answer to a request, parsed from JSON."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(address + path, body and json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.loads(response.read())


@contextmanager
def tensorboard(folder, runs):
    """Starts TensorBoard for a folder; yields its address once it has read `runs` runs, and ends it after the block."""
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
            except OSError:  # TensorBoard does not listen yet
                continue
        else:
            raise TimeoutError(f"TensorBoard did not find {runs} runs in {folder} within a minute")
        yield address
    finally:
        process.terminate()
        process.wait()
