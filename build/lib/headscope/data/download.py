"""Downloads a file once, and checks it."""

import hashlib
import logging
import time
from pathlib import Path

from headscope.errors import UserError
from headscope.files import write_atomically

log = logging.getLogger(__name__)


class Unavailable(UserError):
    """The corpus is not here and could not be downloaded."""


def download(url: str, path: Path, sha256: str, max_bytes: int, tries: int = 3, seconds: float = 60) -> None:
    """Downloads a file, checks it, and only then puts it in place; two processes may do so at once.

    Args:
        url: where the file comes from.
        path: where to put it; missing folders are made.
        sha256: checksum of the right content.
        max_bytes: a longer answer is refused while it arrives.
        tries: attempts, with a pause that doubles.
        seconds: limit of each attempt as a whole, so that a server that sends byte by byte is given up.

    Raises:
        Unavailable: all attempts failed.
        UserError: the folder cannot be written to.
        RunFailed: the disk is full.
    """
    import requests  # here: a quarter of a second that only a download needs
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
        while piece := response.raw.read1(1 << 16, decode_content=True):  # returns early, so that slowness shows
            content += piece
            if len(content) > max_bytes:
                raise requests.RequestException("more bytes than expected")
            if time.monotonic() > deadline:
                raise requests.Timeout("too slow")
    return bytes(content)
