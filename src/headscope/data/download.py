"""Downloads a file and checks it."""

import hashlib
import logging
import time
from pathlib import Path

from headscope.errors import UserError
from headscope.files import write_atomically

log = logging.getLogger(__name__)


class Unavailable(UserError):
    """The corpus is not on this machine and could not be downloaded."""


def download(url: str, path: Path, sha256: str, max_bytes: int, tries: int = 3, seconds: float = 60) -> None:
    """Downloads a file and moves it into place once its checksum is right; two processes may do this at the same time.

    Args:
        url: the source.
        path: the destination; missing folders are made.
        sha256: the expected checksum.
        max_bytes: the download stops when the answer is longer.
        tries: attempts, with a pause that doubles.
        seconds: time limit of one attempt, so that a server that sends byte by byte cannot block a run.

    Raises:
        Unavailable: all attempts failed.
        UserError: the folder cannot be written to.
        RunFailed: the disk is full.
    """
    import requests  # imported here because the import takes a quarter of a second
    import urllib3

    log.info("downloading %s", url)
    reason = ""
    for attempt in range(tries):
        if attempt:
            time.sleep(2**attempt / 2)
        try:
            content = _fetch(url, max_bytes, seconds)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as e:
            reason = type(e).__name__
            response = getattr(e, "response", None)
            if response is not None:
                reason = f"HTTP {response.status_code}"
                if 400 <= response.status_code < 500:
                    break
            continue
        if hashlib.sha256(content).hexdigest() == sha256:
            write_atomically(path, content)
            return
        reason = f"{len(content)} bytes with a wrong checksum"
    raise Unavailable(
        f"{path.name} could not be downloaded ({reason}): put the file at {path} yourself, from {url},"
        " or train on data=pydoc, data=toy or data=text, which need no network"
    )


def _fetch(url: str, max_bytes: int, seconds: float) -> bytes:
    import requests

    deadline = time.monotonic() + seconds
    content = bytearray()
    with requests.get(url, stream=True, timeout=(5, 15)) as response:
        response.raise_for_status()
        while piece := response.raw.read1(
            1 << 16, decode_content=True
        ):  # returns partial reads, so that the deadline is checked
            content += piece
            if len(content) > max_bytes:
                raise requests.RequestException("more bytes than expected")
            if time.monotonic() > deadline:
                raise requests.Timeout("too slow")
    return bytes(content)
