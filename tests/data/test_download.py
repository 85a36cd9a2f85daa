"""Downloads over real sockets."""

import contextlib
import hashlib
import resource
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from headscope.data.shakespeare import Unavailable, download
from headscope.errors import RunFailed

BODY = b"First Citizen: " * 1000
SHA = hashlib.sha256(BODY).hexdigest()


@pytest.fixture(scope="module")
def server():
    """Serves BODY, or fails in the way that the path names."""

    class Handler(BaseHTTPRequestHandler):
        failed = False

        def do_GET(self):
            if self.path == "/missing":
                self.send_error(404)
                return
            if self.path == "/flaky" and not Handler.failed:
                Handler.failed = True
                self.send_error(503)
                return
            if self.path == "/moved":
                self.send_response(302)
                self.send_header("Location", "/good")
                self.end_headers()
                return
            if self.path == "/drip":
                self.send_response(200)
                self.end_headers()
                with contextlib.suppress(OSError):
                    for byte in BODY:
                        self.wfile.write(bytes([byte]))
                        threading.Event().wait(0.1)
                return
            body = {"/wrong": b"not it", "/endless": BODY * 9}.get(self.path, BODY)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if self.path == "/cut" else body)

        def log_message(self, *args):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{http.server_port}"
    http.shutdown()
    http.server_close()


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr("headscope.data.shakespeare.time.sleep", lambda seconds: None)


@pytest.mark.parametrize("path", ["/good", "/flaky", "/moved"])
def test_a_download_arrives_whole(server, tmp_path, path):
    target = tmp_path / "data" / "corpus.txt"
    download(server + path, target, SHA, 20_000)
    assert target.read_bytes() == BODY
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize(
    ("path", "reason"),
    [("/missing", "HTTP 404"), ("/wrong", "wrong checksum"), ("/cut", "Error"), ("/endless", "RequestException")],
)
def test_a_bad_download_is_refused_and_leaves_nothing(server, tmp_path, path, reason):
    with pytest.raises(Unavailable, match=f"corpus.txt could not be downloaded .*{reason}.*data=pydoc"):
        download(server + path, tmp_path / "corpus.txt", SHA, 20_000)
    assert not list(tmp_path.iterdir())


def test_a_drip_ends(server, tmp_path):
    with pytest.raises(Unavailable, match="Timeout"):
        download(server + "/drip", tmp_path / "corpus.txt", SHA, 20_000, tries=1, seconds=0.5)
    assert not list(tmp_path.iterdir())


def test_no_such_host(tmp_path):
    with pytest.raises(Unavailable, match="ConnectionError"):
        download("http://nowhere.invalid/corpus.txt", tmp_path / "corpus.txt", SHA, 20_000)


def test_no_server(tmp_path):
    with pytest.raises(Unavailable, match="ConnectionError"):
        download("http://127.0.0.1:1/corpus.txt", tmp_path / "corpus.txt", SHA, 20_000)


def test_two_downloads_at_once(server, tmp_path):
    target = tmp_path / "corpus.txt"
    threads = [threading.Thread(target=download, args=(server + "/good", target, SHA, 20_000)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert target.read_bytes() == BODY
    assert list(tmp_path.iterdir()) == [target]


def test_a_full_disk_is_said_and_leaves_nothing(server, tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (1000, before[1])
    )  # limits the length of files, which has the effect of a full disk
    try:
        with pytest.raises(RunFailed, match=r"the disk is full: .*corpus.txt was not written"):
            download(server + "/good", tmp_path / "corpus.txt", SHA, 20_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())
