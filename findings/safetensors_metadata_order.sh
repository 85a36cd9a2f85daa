#!/usr/bin/env bash
# safetensors 0.8.0: the same tensors and metadata, saved several times, give different files.
#
# Surprise: with two or more entries of metadata, their order in the header is random, even between two calls in one
# process. The order of the tensors is fixed. With only one entry ({"format": "pt"}, as most programs write), the files
# are identical, so a checksum seems to identify a model until somebody adds a second entry.
#
# Why it matters here: users compare exported models by checksum, and our tests compare exports byte by byte.
#
# Seen with safetensors 0.8.0, numpy 2.4.1, Python 3.11 on 2026-12-01:
#   200 files with 1 entry: 1 checksum
#   200 files with 2 entries: 2 checksums
#   200 files with 3 entries: 6 checksums
source "$(dirname "$0")/common.sh"
with_packages safetensors==0.8.0 numpy==2.4.1
python - <<'P'
from hashlib import sha256

import numpy as np
from safetensors.numpy import load, save

tensors = {"w": np.arange(4, dtype=np.float32), "b": np.zeros(2, np.float32)}
entries = {"format": "pt", "author": "x", "step": "100"}
for n, expected in ((1, 1), (2, 2), (3, 6)):
    files = [save(tensors, metadata=dict(list(entries.items())[:n])) for _ in range(200)]
    assert all(np.array_equal(load(file)["w"], tensors["w"]) for file in files)
    checksums = {sha256(file).hexdigest() for file in files}
    print(f"200 files with {n} {'entry' if n == 1 else 'entries'}: {len(checksums)} checksum{'s' * (len(checksums) > 1)}")
    assert len(checksums) == expected
P
