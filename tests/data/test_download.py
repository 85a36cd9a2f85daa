"""Where text comes from, over real sockets and files."""

import contextlib
import hashlib
import resource
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from headscope.data import sources
from headscope.data.sources import PyDoc, TextFiles, TinyShakespeare, Toy, Unavailable, download
from headscope.errors import RunFailed, UserError

BODY = b"First Citizen: " * 1000
SHA = hashlib.sha256(BODY).hexdigest()


@pytest.fixture(scope="module")
def server():
    """Serves BODY, or what goes wrong with it, at a path that names it."""

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
    monkeypatch.setattr(sources.time, "sleep", lambda seconds: None)


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
    with pytest.raises(Unavailable, match=f"corpus.txt cannot be had .*{reason}.*data=pydoc"):
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
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))  # no file may be longer: for a program, a full disk
    try:
        with pytest.raises(RunFailed, match=r"the disk is full: .*corpus.txt was not written"):
            download(server + "/good", tmp_path / "corpus.txt", SHA, 20_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


def test_an_existing_file_is_verified_and_left_alone(tmp_path):
    path = tmp_path / "tiny_shakespeare.txt"
    path.write_text("Not Shakespeare")
    with pytest.raises(UserError, match=r"is not tiny Shakespeare .* left as it is"):
        TinyShakespeare(str(tmp_path), fallback="pydoc").load(8)
    assert path.read_text() == "Not Shakespeare"


def test_the_fallback_is_taken_only_when_asked_for(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(TinyShakespeare, "url", "http://127.0.0.1:1/input.txt")
    with pytest.raises(Unavailable):
        TinyShakespeare(str(tmp_path)).load(8)
    corpus = TinyShakespeare(str(tmp_path), fallback="pydoc").load(8)
    assert corpus.name == "pydoc"
    assert "training on pydoc instead" in caplog.text


def test_text_is_split_by_position():
    text = PyDoc().read()
    corpus = PyDoc().load(64)
    border = int(len(text) * 0.9)
    assert corpus.tokenizer.decode(corpus.train.ids) == text[:border]
    assert corpus.tokenizer.decode(corpus.val.ids) == text[border:]
    assert corpus.sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert corpus.tokens == len(text) > 400_000


def test_a_character_that_only_validation_has_is_in_the_vocabulary(tmp_path):
    (tmp_path / "a.txt").write_text("ab" * 50 + "z")
    corpus = TextFiles(str(tmp_path / "a.txt")).load(4)
    assert "z" in corpus.tokenizer.vocab


def test_a_folder_is_joined_in_the_order_of_its_names(tmp_path):
    (tmp_path / "b.txt").write_text("second " * 20)
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf" + b"first " * 20)
    (tmp_path / ".hidden").write_bytes(b"\xff\xfe")
    assert TextFiles(str(tmp_path)).read() == "first " * 20 + "\n" + "second " * 20
    assert len(TextFiles(str(tmp_path), "word").load(2).tokenizer) == 3  # first, second, the line's end


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is empty"), (b"\xff\xfe\x00bad", "is not UTF-8"), (b"short", "longer than the validation split")],
)
def test_text_that_cannot_be_used(tmp_path, content, message):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(UserError, match=message):
        TextFiles(str(tmp_path / "a.txt")).load(8)


def test_no_such_file():
    with pytest.raises(UserError, match=r"data.path=/nonexistent.txt does not exist"):
        TextFiles("/nonexistent.txt").load(8)


def test_the_toy_has_the_vocabulary_of_its_document():
    corpus = Toy(["I love cats"], vocabulary=["I", "love", "cats", "dogs"]).load(8)
    assert corpus.tokenizer.vocab == ["I", "love", "cats", "dogs", "<pad>", "<eos>"]
    assert corpus.note == "validates on its training sentences"


def test_sentences_come_from_a_file_too(tmp_path):
    (tmp_path / "s.txt").write_text("I love cats\n\nyou love big dogs\n")
    corpus = Toy([], path=str(tmp_path / "s.txt")).load(8)
    assert len(corpus.train) == 2
    assert "big" in corpus.tokenizer.vocab
    with pytest.raises(UserError, match="no sentences"):
        Toy([]).load(8)
